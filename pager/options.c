/*
 * options.c - the command line of `pagervm run'; see options.h.
 */
#include "pager/options.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu/model.h"

#ifdef CHECK_TLB
#define CHECK_DEFAULT	true	/* the debug build: make debug */
#define CHECK_VERSION	", always --check-tlb"
#else
#define CHECK_DEFAULT	false
#define CHECK_VERSION	""
#endif

enum { OPT_NO_SWAP = 256, OPT_NO_VIEW, OPT_PLAIN, OPT_CLUSTER, OPT_SPREAD,
       OPT_SEED, OPT_STATS, OPT_HOLD, OPT_MODE, OPT_TLB, OPT_CHECK_TLB };

static int parse_size(const char *s, uint64_t *size)
{
	char *end;
	unsigned shift = 0;
	uint64_t n;

	errno = 0;
	n = strtoull(s, &end, strncasecmp(s, "0x", 2) ? 10 : 16);
	if (errno || end == s || *s < '0' || *s > '9')
		return -1;
	switch (*end) {
	case 'T': case 't':
		shift += 10;
		/* fall through */
	case 'G': case 'g':
		shift += 10;
		/* fall through */
	case 'M': case 'm':
		shift += 10;
		/* fall through */
	case 'K': case 'k':
		shift += 10;
		end++;
	}
	if (*end || (shift && n >> (64 - shift)))
		return -1;
	*size = n << shift;
	return 0;
}

static const struct argp_option options[] = {
	{ "dir", 'd', "DIR", 0,
	  "the mounted store, or with --plain any directory (default: mnt)", 1 },
	{ "name", 'n', "NAME", 0,
	  "name of the machine: its live view is DIR/vm/NAME (default: vm0); "
	  "two machines on one store also need a swap area each", 1 },
	{ "ram", 'r', "SIZE", 0, "RAM (default: 64M); K, M, G, T", 2 },
	{ "cpus", 'c', "N", 0, "emulated CPUs (default: 2)", 2 },
	{ "mmu", OPT_MODE, "32|pae|64|la57", 0,
	  "paging mode: two-level, PAE, four-level, five-level (default: 64)",
	  2 },
	{ "mode", 0, NULL, OPTION_ALIAS | OPTION_HIDDEN, NULL, 0 },
	{ "tlb", OPT_TLB, "PART", 0,
	  "model and count the translation caches of a real part (--tlb list: "
	  "of which); slower. Counters: --stats, and vmstat of the live view",
	  2 },
	{ "check-tlb", OPT_CHECK_TLB, NULL, 0,
	  "check every translation used against the page tables, and report "
	  "each that should have been shot down; slower", 2 },
	{ "swap", 's', "FILE[,SIZE[,PRI]]", 0,
	  "a swap area, may be given up to 15 times; FILE is made if SIZE is "
	  "given, and all of it allocated on the disk at once (default: "
	  "DIR/swap/swap0, twice the RAM, at least 256M)", 3 },
	{ "no-swap", OPT_NO_SWAP, NULL, 0, "no swap at all, whatever --swap "
	  "says", 3 },
	{ "cluster", OPT_CLUSTER, "PAGES", 0,
	  "pages per write at most, 1 to 256 (default: 256)", 4 },
	{ "spread", OPT_SPREAD, "FRAMES", 0,
	  "between the two hands of the clock (default: a quarter of RAM)", 4 },
	{ "seed", OPT_SEED, "N", 0, "seed of random statements", 4 },
	{ "stats", OPT_STATS, NULL, 0, "print the counters at the end", 5 },
	{ "hold", OPT_HOLD, NULL, 0,
	  "stay up after the programs, until interrupted, for the live view; "
	  "that is a good end then",
	  5 },
	{ "no-view", OPT_NO_VIEW, NULL, 0, "no live view", 5 },
	{ "plain", OPT_PLAIN, NULL, 0,
	  "DIR need not be a mounted store (no pagerfs beneath)", 5 },
	{ 0 },
};

static error_t parse_swap(struct options *o, char *arg, struct argp_state *st)
{
	struct swap_arg *s = &o->swap[o->nswaps];
	char *size = strchr(arg, ','), *pri = NULL, *end;
	long priority;

	if (o->nswaps == OPTIONS_SWAPS)
		argp_error(st, "more than %d swap areas", OPTIONS_SWAPS);
	if (size) {
		*size++ = 0;
		pri = strchr(size, ',');
		if (pri)
			*pri++ = 0;
		if (parse_size(size, &s->size) < 0)
			argp_error(st, "--swap: '%s' is not a size", size);
	}
	if (pri) {
		errno = 0;
		priority = strtol(pri, &end, 10);
		if (errno || *end || end == pri || priority < INT_MIN ||
		    priority > INT_MAX)
			argp_error(st, "--swap: '%s' is not a priority", pri);
		s->priority = (int)priority;
	}
	s->path = arg;
	o->nswaps++;
	return 0;
}

static void parse_number(struct argp_state *st, const char *what,
			 const char *arg, uint64_t min, uint64_t max,
			 unsigned *n)
{
	uint64_t v;

	if (parse_size(arg, &v) < 0 || v < min || v > max)
		argp_error(st, "--%s: '%s' is not a number from %llu to %llu",
			   what, arg, (unsigned long long)min,
			   (unsigned long long)max);
	*n = (unsigned)v;
}

static void parse_mode(struct argp_state *st, const char *arg,
		       enum vm_mode *mode)
{
	static const char *const name[] = {
		[VM_MODE_32] = "32", [VM_MODE_64] = "64",
		[VM_MODE_PAE] = "pae", [VM_MODE_LA57] = "la57",
	};

	for (unsigned i = 0; i < sizeof(name) / sizeof(*name); i++) {
		if (strcmp(arg, name[i]) == 0) {
			*mode = (enum vm_mode)i;
			return;
		}
	}
	argp_error(st, "--mmu: '%s' is not 32, pae, 64 or la57", arg);
}

static void print_array(const struct model_array *a)
{
	static const char *const size[] = { "4K", "2M", "1G" };
	const char *sep = " ";

	printf("  %u of", a->sets * a->ways);
	for (unsigned i = 0; i < MODEL_SIZES; i++) {
		if (!(a->sizes >> i & 1))
			continue;
		printf("%s%s", sep, size[i]);
		sep = "/";
	}
	if (a->sets == 1)
		printf(", fully associative");
	else
		printf(", %u-way", a->ways);
}

static void print_geometry(const char *name, const struct model_geometry *g)
{
	const char *what = name;

	for (unsigned i = 0; i < MODEL_ARRAYS; i++) {
		if (!g->array[i].sizes)
			continue;
		printf("%-18s", what);
		print_array(&g->array[i]);
		putchar('\n');
		what = "";
	}
}

static void print_upper(const struct model_preset *p)
{
	static const char *const name[] = { [2] = "PDE", [3] = "PDPTE",
					    [4] = "PML4E", [5] = "PML5E" };
	const char *sep = "";

	printf("%-20s", "  upper levels");
	for (unsigned level = 2; level <= WALK_LEVELS; level++) {
		if (!p->psc[level])
			continue;
		printf("%s%u %s%s", sep, p->psc[level], name[level],
		       p->psc[level] == 1 ? "" : "s");
		sep = ", ";
	}
	printf("%s\n", *sep ? "" : "none");
}

static void print_part(const struct model_preset *p)
{
	printf("%s: %s\n", p->name, p->what);
	print_geometry("  data", &p->l1d);
	print_geometry("  code", &p->l1i);
	print_geometry(p->unified ? "  second level" : "  second, data",
		       &p->l2d);
	print_geometry("  second, code", &p->l2i);
	print_upper(p);
	printf("  from: %s\n", p->source);
}

static void parse_tlb(struct argp_state *st, const char *arg,
		      const struct model_preset **tlb)
{
	if (strcmp(arg, "list") == 0) {
		for (const struct model_preset *p = model_presets; p->name;
		     p++)
			print_part(p);
		exit(fflush(stdout) ? 1 : 0);
	}
	*tlb = model_preset(arg);
	if (!*tlb)
		argp_error(st, "--tlb: '%s' is no part that is known; --tlb "
			   "list names them", arg);
}

static bool name_ok(const char *s)
{
	return *s && *s != '.' && !strchr(s, '/') && strlen(s) < 64;
}

/* Options without a value. => false: another one. */
static bool parse_flag(int key, struct options *o)
{
	switch (key) {
	case OPT_NO_SWAP:
		o->no_swap = true;
		return true;
	case OPT_NO_VIEW:
		o->no_view = true;
		return true;
	case OPT_PLAIN:
		o->plain = true;
		return true;
	case OPT_STATS:
		o->stats = true;
		return true;
	case OPT_HOLD:
		o->hold = true;
		return true;
	case OPT_CHECK_TLB:
		o->check_tlb = true;
		return true;
	default:
		return false;
	}
}

static void parse_arg(struct options *o, char *arg, struct argp_state *st)
{
	if (st->arg_num == 0 && strcmp(arg, "run") == 0)
		return;
	if (st->arg_num == 0 && (strcmp(arg, "explain") == 0 ||
				 strcmp(arg, "mmu-check") == 0))
		argp_error(st, "'%s' comes before its options", arg);
	if (st->arg_num == 0)
		argp_error(st, "unknown command '%s'; there are: run, "
			   "explain, mmu-check", arg);
	if (!*arg)
		argp_error(st, "a FILE has no name: there is an argument of no "
			   "characters");
	if (o->nfiles == OPTIONS_FILES)
		argp_error(st, "more than %d files", OPTIONS_FILES);
	o->file[o->nfiles++] = arg;
}

static error_t parse_opt(int key, char *arg, struct argp_state *st)
{
	struct options *o = st->input;

	switch (key) {
	case 'd':
		o->dir = arg;
		break;
	case 'n':
		if (!name_ok(arg))
			argp_error(st, "--name: '%s' is not a file name", arg);
		o->name = arg;
		break;
	case 'r':
		if (parse_size(arg, &o->ram) < 0)
			argp_error(st, "--ram: '%s' is not a size", arg);
		break;
	case 'c':
		parse_number(st, "cpus", arg, 1, 63, &o->cpus);
		break;
	case OPT_MODE:
		parse_mode(st, arg, &o->mode);
		break;
	case OPT_TLB:
		parse_tlb(st, arg, &o->tlb);
		break;
	case 's':
		return parse_swap(o, arg, st);
	case OPT_CLUSTER:
		parse_number(st, "cluster", arg, 1, 256, &o->cluster);
		break;
	case OPT_SPREAD:
		parse_number(st, "spread", arg, 1, UINT_MAX, &o->spread);
		break;
	case OPT_SEED:
		if (parse_size(arg, &o->seed) < 0)
			argp_error(st, "--seed: '%s' is not a number", arg);
		break;
	case ARGP_KEY_ARG:
		parse_arg(o, arg, st);
		break;
	case ARGP_KEY_END:
		if (st->arg_num == 0)
			argp_error(st, "say what to do: pagervm run [FILE...]");
		break;
	default:
		return parse_flag(key, o) ? 0 : ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const char *argp_program_version = "pagervm 0.1" CHECK_VERSION;

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.args_doc = "run [FILE...]",
	.doc = "Run programs of the workload language on an emulated machine "
	       "that maps files and swaps through a mounted store.\v"
	       "There is also, each with options of its own behind it:\n\n"
	       "  pagervm explain PID ADDRESS [load|store|fetch]\n"
	       "  pagervm mmu-check\n\n"
	       "Each FILE is a program; - or no FILE is standard input, and "
	       "with --hold and no FILE none is read. Files that programs map "
	       "are relative to DIR.\n\n"
	       "  pagerfs ~/store mnt && pagervm run --ram 16M prog.pvm\n\n"
	       "Exit status: 0 all programs ran to their end; 1 one of them, or "
	       "the machine, failed, or --check-tlb found something; 64 wrong "
	       "usage; 130 interrupted.",
};

void options_machine(int argc, char **argv, struct options *o)
{
	*o = (struct options){
		.dir = "mnt", .name = "vm0", .ram = 64 << 20, .cpus = 2,
		.mode = VM_MODE_64, .seed = 1, .check_tlb = CHECK_DEFAULT,
	};
	argp_err_exit_status = 64;
	argv[0] = program_invocation_short_name;
	argp_parse(&argp, argc, argv, 0, NULL, o);
}
