# pagerfs / pagervm
#
#   make run        install what is missing, build, mount mnt/, take the tour
#   make test       everything, with a total line
#   make help       the rest
#
# BUILD is where everything goes; the sanitizer builds are this same file with
# another BUILD and SAN.

CC ?= gcc
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
OPT ?= -O2 -g
SAN ?=
export FILE ?=
FUZZ_SECONDS ?= 60

CPPFLAGS += -D_GNU_SOURCE -DFUSE_USE_VERSION=314 -I.
CFLAGS_ALL = -std=gnu11 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -fno-omit-frame-pointer $(OPT) $(SAN) \
	$(shell pkg-config --cflags fuse3 liburing) $(CFLAGS)
LIBS = $(shell pkg-config --libs fuse3 liburing) -lpthread -lm $(SAN)

# What Debian calls them. deps: to build and run; test and bench: besides.
DEPS = gcc make pkg-config libc6-dev fuse3 libfuse3-dev liburing-dev \
	libxxhash-dev \
	libbsd-dev uthash-dev
DEPS_TEST = libcmocka-dev fio stress-ng python3-minimal procps util-linux
DEPS_BENCH = valgrind qemu-system-x86 g++ xz-utils

LIB_SRC := $(filter-out pager/pagervm.c fs/pagerfs.c replay/replay.c, \
	$(wildcard emu/*.c pager/*.c swap/*.c fs/*.c record/*.c \
	replay/*.c mmucheck/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
LIB := $(BUILD)/libpager.a
PROGRAMS := $(BUILD)/pagerfs $(BUILD)/pagervm $(BUILD)/pagerfs-replay

# tests/lib/nomem.c
WRAP = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

TEST_LIB_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c))
TEST_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%, \
	$(filter-out tests/lib/%,$(wildcard tests/*/test_*.c tests/*/tool_*.c)))
BENCH_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard bench/*.c))

all: $(PROGRAMS)

# ---- building ----

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/pagerfs: $(BUILD)/fs/pagerfs.o $(LIB)
	@echo "  LINK $@"
	@$(CC) -o $@ $^ $(LIBS)

$(BUILD)/pagervm: $(BUILD)/pager/pagervm.o $(LIB)
	@echo "  LINK $@"
	@$(CC) -o $@ $^ $(LIBS)

$(BUILD)/pagerfs-replay: $(BUILD)/replay/replay.o $(LIB)
	@echo "  LINK $@"
	@$(CC) -o $@ $^ $(LIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_LIB_OBJ) $(LIB)
	@echo "  LINK $@"
	@$(CC) -o $@ $^ $(WRAP) -lcmocka $(LIBS)

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(LIB)
	@echo "  LINK $@"
	@$(CC) -o $@ $^ $(LIBS)

# A 32-bit program only in name: the kernel that bench/walk has QEMU run.
$(BUILD)/bench/tcg_guest: bench/tcg_guest.S
	@mkdir -p $(@D)
	@echo "  AS   $@"
	@$(CC) -m32 -c -o $@.o $< && \
		$(LD) -m elf_i386 -Ttext 0x100000 -o $@ $@.o

tests: $(PROGRAMS) $(TEST_BIN)
benches: $(PROGRAMS) $(BENCH_BIN) $(BUILD)/bench/tcg_guest

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- what people call ----

# Missing Debian packages, by name; nothing when all are there.
define install_missing
	@missing=; for p in $(1); do \
		dpkg-query -W -f '$${Status}\n' $$p 2>/dev/null | \
			grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	echo "installing:$$missing"; \
	$$sudo apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq \
		--no-install-recommends $$missing >/dev/null
endef

deps:
	$(call install_missing,$(DEPS))

deps-test: deps
	$(call install_missing,$(DEPS_TEST))

deps-bench: deps-test
	$(call install_missing,$(DEPS_BENCH))

run: deps
	@$(MAKE) --no-print-directory -s all
	@BUILD='$(BUILD)' tour/tour.sh $${FILE:+"$$FILE"}

test: deps-test
	@$(MAKE) --no-print-directory -j2 tests
	@tests/run $(BUILD)

# The same tests under the sanitizers, each in a build of its own.
asan: deps-test
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)/asan OPT='-O1 -g' \
		SAN='-fsanitize=address,undefined -fno-sanitize-recover=undefined' \
		tests
	@LIMIT=900 tests/run $(BUILD)/asan

tsan: deps-test
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)/tsan OPT='-O1 -g' \
		SAN='-fsanitize=thread' tests
	@LIMIT=1800 tests/run $(BUILD)/tsan

# The same tests with each translation that any CPU uses checked.
debug: deps-test
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)/debug OPT='-O1 -g' \
		SAN=-DCHECK_TLB tests
	@LIMIT=900 tests/run $(BUILD)/debug

bench: deps-bench
	@$(MAKE) --no-print-directory -j2 benches
	@bench/run $(BUILD)
	@bench/fs $(BUILD)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/man/man8
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(wildcard docs/*.1) $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(wildcard docs/*.8) $(DESTDIR)$(PREFIX)/share/man/man8

uninstall:
	rm -f $(patsubst $(BUILD)/%,$(DESTDIR)$(PREFIX)/bin/%,$(PROGRAMS)) \
		$(patsubst docs/%,$(DESTDIR)$(PREFIX)/share/man/man1/%,$(wildcard docs/*.1)) \
		$(patsubst docs/%,$(DESTDIR)$(PREFIX)/share/man/man8/%,$(wildcard docs/*.8))

# Coverage-guided; needs clang and its runtime (libclang-rt-dev).
fuzz:
	@mkdir -p $(BUILD)/fuzz/corpus
	clang $(CPPFLAGS) -std=gnu11 -g -O1 -DFUZZ_MAIN \
		-fsanitize=fuzzer,address,undefined -o $(BUILD)/fuzz/workload \
		tests/pager/fuzz_workload.c $(wildcard pager/workload*.c)
	$(BUILD)/fuzz/workload -max_total_time=$(FUZZ_SECONDS) \
		$(BUILD)/fuzz/corpus docs/examples

# The seed is one good record, from test_record's sample.
.PHONY: fuzz-record
fuzz-record: $(BUILD)/tests/record/test_record
	@mkdir -p $(BUILD)/fuzz/record-corpus
	SAMPLE=$(BUILD)/fuzz/record-corpus/sample \
		$(BUILD)/tests/record/test_record >/dev/null 2>&1
	clang $(CPPFLAGS) -std=gnu11 -g -O1 \
		-fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -o $(BUILD)/fuzz/record \
		tests/record/fuzz_record.c $(wildcard record/*.c) \
		$(filter-out replay/replay.c,$(wildcard replay/*.c))
	$(BUILD)/fuzz/record -artifact_prefix=$(BUILD)/fuzz/ -max_total_time=$(FUZZ_SECONDS) -max_len=8000 \
		$(BUILD)/fuzz/record-corpus

fuzz-rules:
	@mkdir -p $(BUILD)/fuzz/rules-corpus
	clang $(CPPFLAGS) -std=gnu11 -g -O1 \
		-fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -o $(BUILD)/fuzz/rules \
		tests/fs/fuzz_rules.c fs/rule.c fs/rule_parse.c fs/op.c -lm
	$(BUILD)/fuzz/rules -max_total_time=$(FUZZ_SECONDS) -max_len=2000 \
		$(BUILD)/fuzz/rules-corpus

FUZZ_FS = $(filter-out fs/pagerfs.c fs/view%,$(wildcard fs/*.c)) \
	$(wildcard record/*.c) swap/place.c

fuzz-requests:
	@mkdir -p $(BUILD)/fuzz/requests-corpus
	clang $(CPPFLAGS) -std=gnu11 -g -O1 \
		$(shell pkg-config --cflags fuse3 liburing) \
		-fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -o $(BUILD)/fuzz/requests \
		tests/fs/fuzz_request.c $(FUZZ_FS) \
		$(shell pkg-config --libs fuse3 liburing) -lm
	$(BUILD)/fuzz/requests -max_total_time=$(FUZZ_SECONDS) \
		-max_len=4000 $(abspath $(BUILD)/fuzz/requests-corpus)

fuzz-mmu:
	@mkdir -p $(BUILD)/fuzz/mmu-corpus
	clang $(CPPFLAGS) -std=gnu11 -g -O1 \
		-fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -o $(BUILD)/fuzz/mmu \
		tests/emu/fuzz_mmu.c $(wildcard emu/*.c)
	$(BUILD)/fuzz/mmu -max_total_time=$(FUZZ_SECONDS) -max_len=4000 \
		$(BUILD)/fuzz/mmu-corpus

# The emulated MMU against both judges, for longer than a test may take.
mmu-soak: deps
	@$(MAKE) --no-print-directory -s all
	$(BUILD)/pagervm mmu-check --engine model --count 10000000 --seed 2
	$(BUILD)/pagervm mmu-check --engine kvm --mode 64 --count 250000 \
		--seed 2 || [ $$? = 77 ]

# What takes too long for a test: the daemon killed 200 times under load, and
# a million operations after which nothing may have grown.
soak: deps-test
	@$(MAKE) --no-print-directory -j2 tests
	ROUNDS=200 BUILD=$(BUILD) tests/system/pagerfs_kill9.sh
	OPERATIONS=1000000 BUILD=$(BUILD) tests/system/pagerfs_growth.sh

clean:
	rm -rf $(BUILD)

help:
	@echo 'make                 build/pagerfs, build/pagervm, build/pagerfs-replay'
	@echo 'make run [FILE=F]    install what is missing, build, take the tour of file F'
	@echo 'make test            all tests; ends with N passed, N failed, N skipped'
	@echo '                     (TESTS="name ..." picks some)'
	@echo 'make asan tsan       the same tests under the sanitizers'
	@echo 'make debug           the same tests, every TLB entry checked as it is used'
	@echo 'make bench           the tables of docs/performance.md, measured here'
	@echo 'make fuzz            fuzz the workload parser for FUZZ_SECONDS=60'
	@echo 'make fuzz-record     fuzz pagerfs-replay: any record'
	@echo 'make fuzz-rules      fuzz the parser of fault rules'
	@echo 'make fuzz-requests   fuzz the store daemon with malformed requests (root)'
	@echo 'make fuzz-mmu        fuzz the MMU: any RAM, any registers'
	@echo 'make mmu-soak        the emulated MMU against the manual and KVM, at length'
	@echo 'make soak            the daemon killed 200 times; nothing grows in a million operations'
	@echo 'make install         to PREFIX=/usr/local, below DESTDIR'
	@echo 'make uninstall       what install put there'
	@echo 'make deps            Debian packages that are missing (sudo when not root)'
	@echo 'make clean'

.PHONY: all tests benches deps deps-test deps-bench run test asan tsan debug \
	bench install uninstall fuzz fuzz-rules fuzz-requests fuzz-mmu mmu-soak \
	soak clean help
