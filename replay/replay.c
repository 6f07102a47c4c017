/*
 * replay.c - main(): pagerfs-replay, put together.
 *
 *	history		the record, in memory
 *	state		what is durable and what is not, at one point
 *	outcome		one of the things that a crash could leave
 *	build		its files, in a directory
 *	each		a check, on all of them
 *	show		list, info
 */
#include "replay/each.h"
#include "replay/need.h"
#include "replay/progress.h"
#include "replay/show.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define REPLAY_TROUBLE	2	/* status: it could not be done */

const char *argp_program_version = "pagerfs-replay 0.1";

enum replay_key {
	KEY_AT = 256, KEY_FSYNC, KEY_LAST, KEY_KEEP_ALL, KEY_KEEP_BEGUN,
	KEY_SYNCED, KEY_RANDOM, KEY_DROP, KEY_BASE, KEY_STRICT, KEY_SEEN,
	KEY_LIMIT, KEY_POINTS, KEY_RANDOMS, KEY_SHOW,
};

struct replay {
	const char *words[4];	/* command, RECORD, DIR or COMMAND */
	unsigned int nwords;
	bool for_build, for_each, for_both;	/* such options were given */
	uint64_t at, fsync;	/* 0: the end */
	int how;		/* KEY_KEEP_ALL ... KEY_DROP */
	uint64_t seed;
	const char *drop, *base;
	struct each each;
	struct build build;
	struct history history;
};

static struct each *replay_each;	/* for the signal handler */

static const struct argp_option replay_options[] = {
	{ NULL, 0, NULL, 0, "Which moment (build):", 1 },
	{ "last", KEY_LAST, NULL, 0, "the end of the record (default)", 1 },
	{ "at", KEY_AT, "N", 0, "after record N", 1 },
	{ "until-fsync", KEY_FSYNC, "K", 0, "after the K-th fsync", 1 },
	{ NULL, 0, NULL, 0, "What of it reached the disk (build):", 2 },
	{ "keep-all", KEY_KEEP_ALL, NULL, 0,
	  "all that had ended (default)", 2 },
	{ "keep-begun", KEY_KEEP_BEGUN, NULL, 0,
	  "also what was in flight", 2 },
	{ "synced-only", KEY_SYNCED, NULL, 0,
	  "only what an fsync covers", 2 },
	{ "random", KEY_RANDOM, "SEED", 0,
	  "besides that, any sectors and names", 2 },
	{ "drop", KEY_DROP, "LIST", 0, "all that had begun, but not LIST: "
	  "operations (12,15-20) and sectors of writes (31:0-3, 31:data)", 2 },
	{ NULL, 0, NULL, 0, "What a disk promises (build, each):", 3 },
	{ "strict", KEY_STRICT, NULL, 0, "only what POSIX says: without an "
	  "fsync of the directory a name may be lost, and names change in "
	  "any order", 3 },
	{ "base", KEY_BASE, "DIR", 0, "files as they were at the start, for "
	  "a record made with record_base=no", 3 },
	{ NULL, 0, NULL, 0, "Checking (each):", 4 },
	{ "seen", KEY_SEEN, NULL, 0, "also show the check what the clients "
	  "had been told, in the directory $PAGERFS_REPLAY_SEEN", 4 },
	{ "limit", KEY_LIMIT, "N", 0, "states at most (10000)", 4 },
	{ "points", KEY_POINTS, "N", 0, "moments at most, evenly spread, "
	  "the end among them (all)", 4 },
	{ "randoms", KEY_RANDOMS, "N", 0, "random outcomes for each moment "
	  "(4)", 4 },
	{ "show", KEY_SHOW, "N", 0, "failures that are shown (10)", 4 },
	{ 0 },
};

static const char replay_doc[] =
	"Look into a record of pagerfs -o record=FILE, and build the files "
	"as a crash at any point of it could have left them.\v"
	"list   one line for each operation\n"
	"info   what the record holds, and how it ends\n"
	"build  the files at one moment, into the new directory DIR\n"
	"each   every state that a crash could have left: COMMAND (for sh) "
	"is run in each one's directory and fails with a status that is not "
	"0\n\n"
	"Exit status: 0; 1 a check failed; 2 something could not be done; 64 "
	"wrong usage. See docs/record.md and pagerfs-replay(1).";

/* ---- options ---- */

static uint64_t replay_number(struct argp_state *argp, const char *arg)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end || errno)
		argp_error(argp, "'%s' is not a number", arg);
	return value;
}

static error_t replay_take_word(struct replay *replay, char *arg,
				struct argp_state *argp)
{
	if (replay->nwords == 3)
		argp_error(argp, "'%s' is one argument too many", arg);
	replay->words[replay->nwords++] = arg;
	return 0;
}

/* How many words the command takes, itself too. */
static unsigned int replay_words(const char *command)
{
	if (!strcmp(command, "list") || !strcmp(command, "info"))
		return 2;
	return strcmp(command, "build") && strcmp(command, "each") ? 0 : 3;
}

/* An option that another command has would be left out without a word. */
static void replay_check_options(const struct replay *replay,
				 struct argp_state *argp)
{
	const char *command = replay->words[0];
	bool build = !strcmp(command, "build"), each = !strcmp(command, "each");

	if (!build && replay->for_build)
		argp_error(argp, "%s takes no moment and no outcome; build "
			   "does", command);
	if (!each && replay->for_each)
		argp_error(argp, "%s takes none of the options of each",
			   command);
	if (!build && !each && replay->for_both)
		argp_error(argp, "%s takes no options", command);
}

static void replay_check_words(struct replay *replay, struct argp_state *argp)
{
	unsigned int wanted;

	if (!replay->nwords)
		argp_usage(argp);
	wanted = replay_words(replay->words[0]);
	if (!wanted)
		argp_error(argp, "'%s' is none of list, info, build, each",
			   replay->words[0]);
	if (replay->nwords != wanted)
		argp_error(argp, "%s takes RECORD%s", replay->words[0],
			   wanted == 2 ? "" : *replay->words[0] == 'b' ?
			   " and DIR" : " and COMMAND (in quotes)");
	replay_check_options(replay, argp);
}

static error_t replay_take_moment(struct replay *replay, int key, char *arg,
				  struct argp_state *argp)
{
	if (replay->at || replay->fsync)
		argp_error(argp, "there is more than one moment");
	if (key != KEY_LAST && !replay_number(argp, arg))
		argp_error(argp, "records and fsyncs count from 1");
	if (key == KEY_AT)
		replay->at = replay_number(argp, arg);
	else if (key == KEY_FSYNC)
		replay->fsync = replay_number(argp, arg);
	return 0;
}

static error_t replay_take_how(struct replay *replay, int key, char *arg,
			       struct argp_state *argp)
{
	if (replay->how)
		argp_error(argp, "one of --keep-all, --keep-begun, "
			   "--synced-only, --random, --drop");
	replay->how = key;
	if (key == KEY_RANDOM)
		replay->seed = replay_number(argp, arg);
	if (key == KEY_DROP)
		replay->drop = arg;
	return 0;
}

static error_t replay_take_each(struct replay *replay, int key, char *arg,
				struct argp_state *argp)
{
	struct each *each = &replay->each;

	switch (key) {
	case KEY_STRICT:
		replay->for_both = true;
		each->strict = true;
		return 0;
	case KEY_SEEN:
		replay->for_each = true;
		each->seen = true;
		return 0;
	case KEY_LIMIT:
		replay->for_each = true;
		each->limit = replay_number(argp, arg);
		if (!each->limit)
			argp_error(argp, "--limit: 0 states would check "
				   "nothing: 1 at least");
		return 0;
	case KEY_POINTS:
		replay->for_each = true;
		each->points = replay_number(argp, arg);
		return 0;
	case KEY_RANDOMS:
		replay->for_each = true;
		each->randoms = replay_number(argp, arg);
		return 0;
	case KEY_SHOW:
		replay->for_each = true;
		each->show = replay_number(argp, arg);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static error_t replay_take(int key, char *arg, struct argp_state *argp)
{
	struct replay *replay = argp->input;

	switch (key) {
	case KEY_AT: case KEY_FSYNC: case KEY_LAST:
		replay->for_build = true;
		return replay_take_moment(replay, key, arg, argp);
	case KEY_KEEP_ALL: case KEY_KEEP_BEGUN: case KEY_SYNCED:
	case KEY_RANDOM: case KEY_DROP:
		replay->for_build = true;
		return replay_take_how(replay, key, arg, argp);
	case KEY_BASE:
		replay->for_both = true;
		replay->base = arg;
		return 0;
	case ARGP_KEY_ARG:
		return replay_take_word(replay, arg, argp);
	case ARGP_KEY_END:
		replay_check_words(replay, argp);
		return 0;
	}
	return replay_take_each(replay, key, arg, argp);
}

/* ---- the record ---- */

/* Of a tree that is not all there, no state is one that a crash could leave:
 * a check of it would say nothing. Looking at it may help. */
static void replay_check_start(const struct replay *replay)
{
	static const char missing[] =
		"the files as they were at the start are not all in it";

	if (replay->history.started)
		return;
	if (*replay->words[0] == 'e')
		errx(REPLAY_TROUBLE, "%s: %s: nothing can be checked",
		     replay->words[1], missing);
	warnx("%s: %s: pagerfs was killed at it, or is at it yet",
	      replay->words[1], missing);
}

/* A FIFO would be waited for, and cannot be read at an offset. */
static int replay_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		err(REPLAY_TROUBLE, "%s", path);
	if (!S_ISREG(st.st_mode))
		errx(REPLAY_TROUBLE, "%s: not a regular file", path);
	return fd;
}

static void replay_load(struct replay *replay)
{
	const char *path = replay->words[1];
	struct history *history = &replay->history;
	int fd = replay_open(path), error;
	char *fault;

	progress_start("reading");
	error = history_load(history, fd, progress_tick);
	progress_clear();
	if (error == -EINVAL)
		errx(REPLAY_TROUBLE, "%s: not a record of pagerfs: it %s",
		     path, record_fault_text(history->reader.fault));
	if (error)
		errx(REPLAY_TROUBLE, "%s: %s", path, strerror(-error));
	fault = show_fault(history, path);
	if (fault)
		warnx("%s", fault);
	free(fault);
	replay_check_start(replay);
}

static void replay_open_base(struct replay *replay)
{
	replay->build.base = -1;
	if (!replay->base && !replay->history.reader.head.base)
		errx(REPLAY_TROUBLE, "%s: was made with record_base=no: say "
		     "with --base DIR where the files are as they were when "
		     "it began", replay->words[1]);
	if (!replay->base)
		return;
	if (replay->history.reader.head.base)
		errx(REPLAY_TROUBLE, "%s: has the files of the start in it: "
		     "leave out --base", replay->words[1]);
	replay->build.base = open(replay->base, O_RDONLY | O_DIRECTORY |
				  O_CLOEXEC);
	if (replay->build.base < 0)
		err(REPLAY_TROUBLE, "--base %s", replay->base);
}

/* ---- build ---- */

static uint64_t replay_moment(const struct replay *replay)
{
	const struct history *history = &replay->history;
	uint64_t at = replay->at ? replay->at : history->last;

	if (replay->fsync)
		at = history_fsync(history, replay->fsync);
	if (!at && replay->fsync)
		errx(REPLAY_TROUBLE, "%s: there are only %" PRIu64 " fsyncs",
		     replay->words[1], history->fsyncs);
	if (at > history->last)
		errx(REPLAY_TROUBLE, "%s: record %" PRIu64 " is the last",
		     replay->words[1], history->last);
	return at;
}

static void replay_choose(const struct replay *replay,
			  struct outcome *outcome)
{
	char *wrong;

	switch (replay->how) {
	case KEY_SYNCED:
		outcome_synced(outcome);
		break;
	case KEY_RANDOM:
		outcome_random(outcome, replay->seed);
		break;
	case KEY_DROP:
		wrong = outcome_drop_list(outcome, replay->drop);
		if (wrong)
			errx(REPLAY_TROUBLE, "--drop %s: %s", replay->drop,
			     wrong);
		break;
	case KEY_KEEP_BEGUN:
		break;
	default:
		outcome_ended(outcome);
	}
	outcome_legalise(outcome);
}

static void replay_take_base(struct replay *replay, struct state *state)
{
	const struct history *history = &replay->history;
	uint64_t i, end = 0;
	int err;

	if (replay->build.base < 0)
		return;
	for (i = 1; i <= history->last; i++)
		if (history->records[i] &&
		    history->records[i]->flags & RECORD_BASE)
			end = i;
	state_advance(state, end);
	err = build_take_base(&replay->build, state);
	if (err)
		errx(REPLAY_TROUBLE, "--base %s: %s: %s", replay->base,
		     replay->build.path, build_base_fault(err));
}

/* @where: that @unmade device files are missing in. */
static void replay_warn(const struct replay *replay, uint64_t strangers,
			const char *where, uint64_t unmade)
{
	if (strangers)
		warnx("%s: %" PRIu64
		      " operations on files that came into SOURCE behind the "
		      "mount, or on whiteouts, are left out",
		      replay->words[1], strangers);
	if (unmade)
		warnx("%s: %" PRIu64
		      " device files are left out: only root can make "
		      "them",
		      where, unmade);
}

static int replay_build(struct replay *replay)
{
	const char *dir = replay->words[2];
	uint64_t at = replay_moment(replay);
	struct outcome outcome;
	struct state state;
	int err;

	state_open(&state, &replay->history, replay->each.strict);
	replay_take_base(replay, &state);
	state_advance(&state, at);
	outcome_open(&outcome, &state);
	replay_choose(replay, &outcome);
	err = build_outcome(&replay->build, &outcome, dir);
	if (err)
		warnx("%s%s%s: %s", dir, *replay->build.path ? "/" : "",
		      replay->build.path, err == -ENOTEMPTY ?
		      "has files in it: name a new directory" :
		      strerror(-err));
	replay_warn(replay, state.strangers, dir, replay->build.unmade);
	outcome_close(&outcome);
	state_close(&state);
	return err ? REPLAY_TROUBLE : 0;
}

/* ---- each ---- */

static void replay_interrupt(int signal)
{
	(void)signal;
	replay_each->interrupted = true;
}

static void replay_summary(const struct each *each)
{
	printf("%" PRIu64 " states at %" PRIu64 " points, %" PRIu64 " failed\n",
	       each->states, each->looked_at, each->failed);
	if (each->exhausted)
		printf("at %" PRIu64 " of the points random outcomes came to "
		       "an end: no more were new\n", each->exhausted);
	if (each->interrupted)
		printf("interrupted: not all were tried\n");
	else if (each->states >= each->limit)
		printf("the limit of %" PRIu64
		       " states is reached, at point %" PRIu64 " of "
		       "%" PRIu64
		       ": --limit raises it, --points spreads them\n",
		       each->limit, each->looked_at, each->of_points);
}

static int replay_check_each(struct replay *replay)
{
	struct each *each = &replay->each;
	size_t size;
	char *how;
	FILE *out = need(open_memstream(&how, &size));
	int err;

	each->command = replay->words[2];
	each->record = replay->words[1];
	each->build = &replay->build;
	show_word(out, program_invocation_name);
	fprintf(out, " build%s", each->strict ? " --strict" : "");
	if (replay->base) {
		fprintf(out, " --base ");
		show_word(out, replay->base);
	}
	fclose(out);
	each->how = need(how);
	replay_each = each;
	signal(SIGINT, replay_interrupt);
	signal(SIGTERM, replay_interrupt);
	signal(SIGHUP, replay_interrupt);
	signal(SIGPIPE, replay_interrupt);	/* each ... | head */
	err = each_run(each, &replay->history);
	free(how);
	if (err)
		return REPLAY_TROUBLE;
	replay_summary(each);
	replay_warn(replay, each->strangers, "the states", each->unmade);
	return each->failed ? 1 : each->interrupted ? REPLAY_TROUBLE : 0;
}

/* Whom we were started by may have closed them; what we open must not become
 * our standard output. They stay as good as closed. */
static void std_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_PATH);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		replay_options, replay_take,
		"list RECORD\ninfo RECORD\nbuild RECORD DIR\n"
		"each RECORD COMMAND", replay_doc, NULL, NULL, NULL,
	};
	static struct replay replay = {
		.each = { .limit = 10000, .randoms = 4, .show = 10 },
	};
	int status = 0;

	std_files();
	argp_err_exit_status = EX_USAGE;
	argv[0] = program_invocation_short_name;
	argp_parse(&argp, argc, argv, 0, NULL, &replay);
	replay_load(&replay);
	if (*replay.words[0] == 'l') {
		show_list(stdout, &replay.history);
	} else if (*replay.words[0] == 'i') {
		show_info(stdout, &replay.history);
	} else {
		replay_open_base(&replay);
		status = *replay.words[0] == 'b' ? replay_build(&replay) :
						   replay_check_each(&replay);
	}
	history_free(&replay.history);
	if (fflush(stdout) || ferror(stdout))
		errx(REPLAY_TROUBLE, "standard output: not all of it could be "
		     "written");
	return status;
}
