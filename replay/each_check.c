/*
 * each_check.c - run the check on the state that was built.
 *
 * The command runs by sh -c, in the state's directory, with its output in a
 * file of which the first lines are shown if it fails. The environment says
 * where the state comes from.
 */
#include "replay/each_check.h"
#include "replay/need.h"
#include "replay/progress.h"
#include "replay/show.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_LINES	5	/* of a failed check's output */
#define CHECK_MISSING	8	/* changes that are told one by one */

static void check_setenv(const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	setenv(name, text, 1);
}

/* In the child. */
static void check_exec(const struct each *each)
{
	char path[sizeof(each->work) + 16];
	int out, null = open("/dev/null", O_RDONLY);

	snprintf(path, sizeof(path), "%s/out", each->work);
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (out < 0 || null < 0)
		_exit(127);
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	check_setenv("PAGERFS_REPLAY_AT", each->state.at);
	check_setenv("PAGERFS_REPLAY_FSYNCS", each->state.fsyncs);
	if (each->seen) {
		snprintf(path, sizeof(path), "%s/seen", each->work);
		setenv("PAGERFS_REPLAY_SEEN", path, 1);
	}
	snprintf(path, sizeof(path), "%s/state", each->work);
	if (!chdir(path))
		execl("/bin/sh", "sh", "-c", each->command, NULL);
	_exit(127);
}

/* => What waitpid() says, or -errno. */
static int check_run(const struct each *each, int *status)
{
	pid_t pid = fork();

	if (!pid)
		check_exec(each);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static void check_show_output(const struct each *each)
{
	char path[sizeof(each->work) + 16], line[256];
	int lines = 0;
	FILE *out;

	snprintf(path, sizeof(path), "%s/out", each->work);
	out = fopen(path, "re");
	while (out && lines++ < CHECK_LINES &&
	       fgets(line, sizeof(line), out)) {
		line[strcspn(line, "\n")] = '\0';
		printf("    | %s\n", line);
	}
	if (out)
		fclose(out);
}

static bool check_is_whole(const struct change *change)
{
	uint64_t i;

	if (!change->mask)
		return change->keep;
	for (i = 0; i < change_sectors(change); i++)
		if (!change_has_sector(change, i))
			return false;
	return change->keep;
}

/* What is missing, as it has come to be when all had to fit together. */
static void check_show_missing(const struct each *each)
{
	const struct change *change;
	size_t i, missing = 0;

	for (i = 0; i < each->outcome.count; i++) {
		change = each->outcome.changes[i];
		if (check_is_whole(change) || missing++ >= CHECK_MISSING)
			continue;
		printf("    %s %" PRIu64 " ",
		       change->mask ? "without parts of" : "without",
		       change->number);
		show_change(stdout, &each->state, change);
		putchar('\n');
	}
	if (missing > CHECK_MISSING)
		printf("    and without %zu more\n", missing - CHECK_MISSING);
}

static void check_show(const struct each *each, int status, const char *how,
		       const char *list)
{
	progress_clear();
	printf("FAILED at %" PRIu64 ", after %" PRIu64 " fsyncs: ",
	       each->state.at, each->state.fsyncs);
	if (WIFSIGNALED(status))
		printf("signal %d\n", WTERMSIG(status));
	else
		printf("status %d\n", WEXITSTATUS(status));
	check_show_missing(each);
	check_show_output(each);
	printf("    %s --at %" PRIu64 " ", each->how, each->state.at);
	if (how)
		printf("%s", how);
	else
		printf(*list ? "--drop %s" : "--keep-begun", list);
	putchar(' ');
	show_word(stdout, each->record);
	printf(" DIR\n");
	fflush(stdout);
}

int each_check(struct each *each, const char *how, const char *list)
{
	int status = 0, err = check_run(each, &status);

	if (err) {
		warnx("%s: %s", each->command, strerror(-err));
		return err;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT)
		each->interrupted = true;
	/* A check that was interrupted says nothing. */
	if (each->interrupted || (WIFEXITED(status) && !WEXITSTATUS(status)))
		return 0;
	if (each->failed++ < each->show)
		check_show(each, status, how, list);
	return 0;
}
