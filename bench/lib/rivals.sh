# shellcheck shell=bash
# rivals.sh - what pagerfs is measured against: libfuse's own pass-through
# examples, built here from what Debian ships.
#
#	rivals_build BUILD		$rivals: where; what cannot be had is
#					said on standard error and left out
#
# passthrough_ll.c comes with libfuse3-dev; passthrough_hp.cc, and the header it
# wants, only with the source package, which apt fetches by itself into BUILD
# with the machine's own archives and keys, nothing of the machine's changed.
examples=/usr/share/doc/libfuse3-dev/examples
rivals=''

rivals_build() {
	rivals=$(realpath "$1")/rivals
	mkdir -p "$rivals"
	rival_ll || echo "SKIPPED: passthrough_ll cannot be built here" >&2
	rival_hp || echo "SKIPPED: passthrough_hp cannot be had here" >&2
}

rival_ll() {
	[ -x "$rivals/passthrough_ll" ] && return 0
	# shellcheck disable=SC2046 # flags
	gcc -O2 -o "$rivals/passthrough_ll" "$examples/passthrough_ll.c" \
		$(pkg-config --cflags --libs fuse3)
}

rival_hp() {
	[ -x "$rivals/passthrough_hp" ] && return 0
	[ -e "$rivals/passthrough_hp.cc" ] || hp_fetch || return 1
	# shellcheck disable=SC2046 # flags
	g++ -O2 -std=c++17 -o "$rivals/passthrough_hp" \
		"$rivals/passthrough_hp.cc" \
		$(pkg-config --cflags --libs fuse3) -lpthread
}

# deb-src lines for the Debian archives this machine installs from.
deb_src() {
	local key=/usr/share/keyrings/debian-archive-keyring.gpg
	apt-get indextargets --format '$(REPO_URI) $(RELEASE)' \
		'Created-By: Packages' 'Origin: Debian' | sort -u |
		sed "s|^\(.*\) \(.*\)|deb-src [signed-by=$key] \1 \2 main|"
}

hp_fetch() {
	local apt=$rivals/apt dirs
	mkdir -p "$apt/lists/partial" "$apt/archives/partial"
	deb_src >"$apt/sources.list"
	dirs=(-qq -o "Dir::Etc::SourceList=$apt/sources.list"
		-o Dir::Etc::SourceParts=/dev/null
		-o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt"
		-o APT::Sandbox::User= -o Acquire::http::Timeout=20
		-o Acquire::Retries=1)
	(
		cd "$apt" && timeout 120 apt-get "${dirs[@]}" update &&
			timeout 120 apt-get "${dirs[@]}" source \
				--download-only fuse3 &&
			tar xf fuse3_*.orig.tar.?z -C "$rivals" \
				--no-same-owner --strip-components=2 --wildcards \
				'*/example/passthrough_hp.cc' \
				'*/example/passthrough_helpers.h' \
				'*/example/cxxopts.hpp'
	) >"$apt/log" 2>&1 || { cat "$apt/log" >&2; return 1; }
	rm -rf "$apt"
}
