/*
 * mmucheck.c - the face of `pagervm mmu-check': options, progress, totals.
 *
 * Cases are numbered from 0 in each mode. A mode that KVM does not offer is
 * judged by the model instead, and that is said aloud.
 */
#include "mmucheck/mmucheck.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mmucheck/check.h"
#include "mmucheck/show.h"

#define FAILED		1
#define USAGE		64
#define SKIPPED		77
#define INTERRUPTED	130
#define SHOWN		10

enum { OPT_AGAINST = 256 };

struct options {
	const char *judge, *subject;
	bool mode[MC_MODES];
	unsigned nmodes;
	uint64_t count, seed, only;
	bool alone;			/* only the case @only */
};

struct session {
	struct options opt;
	struct mc_engine *model, *judge, *subject;
	struct timespec began;
	bool bar, drawn;
	bool asked;			/* a mode was put to that judge */
	uint64_t done, total;
	uint64_t accesses, disagreements;
	unsigned shown;
};

static volatile sig_atomic_t interrupted;

/* ---- options ---- */

static const struct argp_option options[] = {
	{ "engine", 'e', "NAME", 0,
	  "the judge: model (default; written from the manual, runs anywhere) "
	  "or kvm (a guest of this host's KVM)", 1 },
	{ "mode", 'm', "MODE", 0, "32, pae, 64, la57 or all (default: all)",
	  1 },
	{ "count", 'n', "N", 0, "cases, of some five accesses each (default: "
	  "100000)", 1 },
	{ "seed", 's', "S", 0, "of the cases (default: 1)", 1 },
	{ "case", 'c', "I", 0, "run case I alone; takes a --mode", 1 },
	{ "against", OPT_AGAINST, "NAME", OPTION_HIDDEN,
	  "who is judged: emu (default), model or kvm", 1 },
	{ 0 },
};

static uint64_t number(struct argp_state *st, const char *what,
		       const char *arg)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end || errno)
		argp_error(st, "--%s: '%s' is not a number", what, arg);
	return v;
}

static void set_mode(struct options *o, struct argp_state *st, const char *arg)
{
	bool all = strcmp(arg, "all") == 0;

	o->nmodes = 0;
	for (unsigned m = 0; m < MC_MODES; m++) {
		o->mode[m] = all || strcmp(arg, show_mode(m)) == 0;
		o->nmodes += o->mode[m];
	}
	if (o->nmodes == 0)
		argp_error(st, "--mode: '%s' is not 32, pae, 64, la57 or all",
			   arg);
}

static const char *engine_name(struct argp_state *st, const char *what,
			       const char *arg, bool subject)
{
	if (strcmp(arg, "model") && strcmp(arg, "kvm") &&
	    (!subject || strcmp(arg, "emu")))
		argp_error(st, "--%s: '%s' is not %smodel or kvm", what, arg,
			   subject ? "emu, " : "");
	return arg;
}

static error_t parse_opt(int key, char *arg, struct argp_state *st)
{
	struct options *o = st->input;

	switch (key) {
	case 'e':
		o->judge = engine_name(st, "engine", arg, false);
		break;
	case OPT_AGAINST:
		o->subject = engine_name(st, "against", arg, true);
		break;
	case 'm':
		set_mode(o, st, arg);
		break;
	case 'n':
		o->count = number(st, "count", arg);
		break;
	case 's':
		o->seed = number(st, "seed", arg);
		break;
	case 'c':
		o->only = number(st, "case", arg);
		o->alone = true;
		break;
	case ARGP_KEY_ARG:
		argp_error(st, "'%s': there are only options", arg);
		break;
	case ARGP_KEY_END:
		if (o->alone && o->nmodes != 1)
			argp_error(st, "--case needs the --mode it is of");
		if (!o->alone && o->count < o->nmodes)
			argp_error(st, "--count: %" PRIu64 " is not enough: "
				   "there are %u modes to check, each with a "
				   "case at least", o->count, o->nmodes);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.doc = "Judge the emulated MMU: random page tables, control registers "
	       "and accesses, made by it and by a judge, and compared to the "
	       "last accessed bit.\v"
	       "Each disagreement comes with the command that runs it alone. "
	       "What is compared, what is not, and where KVM departs from the "
	       "manual: docs/mmu.md.\n\n"
	       "Exit status: 0 no disagreement; 1 some, or the results could "
	       "not be written; 64 wrong usage; 77 there is no such judge "
	       "here, or none of these modes; 130 interrupted.",
};

/* ---- engines ---- */

static struct mc_engine *engine_open(const char *name)
{
	struct mc_engine *e;
	char why[256] = "out of memory";

	if (strcmp(name, "kvm") == 0)
		e = engine_kvm_open(why, sizeof(why));
	else if (strcmp(name, "model") == 0)
		e = engine_model_open(why, sizeof(why));
	else
		e = engine_emu_open(why, sizeof(why));
	if (!e)
		fprintf(stderr, "pagervm: mmu-check: no %s here: %s\n", name,
			why);
	return e;
}

/* The judge is the model itself where it can be: it runs only once then. */
static int open_engines(struct session *s)
{
	s->model = engine_open("model");
	if (!s->model)
		return SKIPPED;
	s->judge = s->model;
	if (strcmp(s->opt.judge, "model"))
		s->judge = engine_open(s->opt.judge);
	if (s->judge)
		s->subject = engine_open(s->opt.subject);
	return s->judge && s->subject ? 0 : SKIPPED;
}

static void close_engines(struct session *s)
{
	if (s->subject)
		s->subject->close(s->subject);
	if (s->judge && s->judge != s->model)
		s->judge->close(s->judge);
	if (s->model)
		s->model->close(s->model);
}

/* What KVM's guests have not is not put to KVM: say so. */
static void report_lacks(const struct mc_engine *e)
{
	static const struct {
		uint64_t bit;
		const char *what;
	} optional[] = {
		{ MC_CR4_SMEP, "SMEP" }, { MC_CR4_SMAP, "SMAP" },
		{ MC_CR4_PKE, "PKRU" }, { MC_CR4_PKS, "PKRS" },
	};

	if (strcmp(e->name, "kvm"))
		return;
	for (unsigned i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
		if (!(e->caps.cr4 & optional[i].bit))
			fprintf(stderr, "%s: not in the guests of this KVM, "
				"judged by --engine model only\n",
				optional[i].what);
}

/* ---- progress ---- */

static double seconds(const struct session *s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - s->began.tv_sec) +
	       (double)(now.tv_nsec - s->began.tv_nsec) / 1e9;
}

static void bar_draw(struct session *s)
{
	double part = (double)s->done / (double)s->total;
	int width = 30, full = (int)(part * width);

	if (!s->bar || s->done % 512 || seconds(s) < 2)
		return;
	fprintf(stderr, "\rmmu-check [%.*s%*s] %3.0f%%  %" PRIu64 " cases ",
		full, "##############################", width - full, "",
		part * 100, s->done);
	s->drawn = true;
}

static void bar_clear(struct session *s)
{
	if (s->drawn)
		fprintf(stderr, "\r%*s\r", 78, "");
	s->drawn = false;
}

/* ---- running ---- */

static void report_mode(const struct check *k, enum mc_mode mode, double took)
{
	printf("%-4s %s by %s: %" PRIu64 " cases, %" PRIu64 " accesses "
	       "(%" PRIu64 " ok, %" PRIu64 " #PF, %" PRIu64 " #GP, %" PRIu64
	       " #SS), %" PRIu64 " disagreements, %.1f us a case\n",
	       show_mode(mode), k->subject->name, k->judge->name, k->cases,
	       k->accesses, k->outcome[MC_OK], k->outcome[MC_PF],
	       k->outcome[MC_GP], k->outcome[MC_SS], k->disagreements,
	       k->cases ? took * 1e6 / (double)k->cases : 0);
	for (unsigned d = DEPARTURE_NONE + 1; d < DEPARTURES; d++)
		if (k->departures[d])
			printf("     known departure of KVM: %s, %" PRIu64
			       " times\n", departure_name(d), k->departures[d]);
	fflush(stdout);
}

static void run_cases(struct session *s, struct check *k, enum mc_mode mode,
		      uint64_t count)
{
	double from = seconds(s);

	for (uint64_t i = 0; i < count && !interrupted; i++) {
		bool good = check_case(k, mode, s->opt.seed,
				       s->opt.alone ? s->opt.only : i);

		if (!good || s->done % 512 == 0)
			bar_clear(s);
		s->done++;
		bar_draw(s);
	}
	bar_clear(s);
	report_mode(k, mode, seconds(s) - from);
	s->accesses += k->accesses;
	s->disagreements += k->disagreements;
	s->shown = k->shown;
}

static void run_mode(struct session *s, enum mc_mode mode, uint64_t count)
{
	struct check k = {
		.model = s->model, .judge = s->judge, .subject = s->subject,
		.out = stdout, .shown = s->shown, .show_most = SHOWN,
	};
	char again[80];

	if (k.judge != s->model && !k.judge->caps.mode[mode]) {
		fprintf(stderr, "%s: not supported by this KVM, judged by the "
			"model only\n", show_mode(mode));
		k.judge = s->model;
	}
	if (strcmp(k.subject->name, "kvm") == 0 &&
	    !k.subject->caps.mode[mode]) {
		fprintf(stderr, "%s: not supported by this KVM, not judged\n",
			show_mode(mode));
		return;
	}
	snprintf(again, sizeof(again), " --engine %s%s%s", k.judge->name,
		 strcmp(s->opt.subject, "emu") ? " --against " : "",
		 strcmp(s->opt.subject, "emu") ? s->opt.subject : "");
	k.again = again;
	s->asked |= k.judge == s->judge;
	run_cases(s, &k, mode, count);
}

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void run_all(struct session *s)
{
	/* No output is lost by the first; the second ends us anywhere. */
	struct sigaction sa = {
		.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_RESETHAND,
	};
	uint64_t left = s->opt.alone ? 1 : s->opt.count, part;
	unsigned modes = s->opt.nmodes;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	clock_gettime(CLOCK_MONOTONIC, &s->began);
	s->bar = isatty(STDERR_FILENO);
	s->total = left ? left : 1;
	for (unsigned m = 0; m < MC_MODES && !interrupted; m++) {
		if (!s->opt.mode[m])
			continue;
		part = left / modes--;
		left -= part;
		run_mode(s, m, part);
	}
}

/*
 * What is closed of the standard files would be the next one opened, an
 * engine's memory, and what is printed would go there. This cannot be written.
 */
static void fill_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* => the exit status */
static int report_all(const struct session *s)
{
	printf("%" PRIu64 " accesses, %" PRIu64 " disagreements\n",
	       s->accesses, s->disagreements);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "pagervm: mmu-check: the results could not be "
			"written\n");
		return FAILED;
	}
	if (interrupted)
		return INTERRUPTED;
	if (s->disagreements)
		return FAILED;
	return s->asked ? 0 : SKIPPED;
}

int mmucheck_main(int argc, char **argv)
{
	static struct session s;
	char name[] = "pagervm mmu-check";
	int status;

	s = (struct session){ .opt = {
		.judge = "model", .subject = "emu", .count = 100000,
		.mode = { true, true, true, true }, .nmodes = MC_MODES,
		.seed = 1,
	} };
	argv[0] = name;
	argp_err_exit_status = USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &s.opt);
	fill_standard();
	status = open_engines(&s);
	if (!status) {
		report_lacks(s.judge);
		if (s.subject != s.judge)
			report_lacks(s.subject);
		run_all(&s);
		status = report_all(&s);
	}
	close_engines(&s);
	return status;
}
