/*
 * client.c - asking a running machine, through its live view.
 *
 * Writes a command of the workload language to DIR/vm/NAME/PID/ctl and prints
 * what it answers. No part of a machine: a file is all it needs.
 */
#include "pager/client.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct client {
	const char *dir, *name, *pid, *address, *access;
};

static const struct argp_option client_options[] = {
	{ "dir", 'd', "DIR", 0, "the mounted store (default: mnt)", 0 },
	{ "name", 'n', "NAME", 0, "name of the machine (default: vm0)", 0 },
	{ 0 },
};

static error_t client_arg(struct client *c, char *arg, struct argp_state *st)
{
	switch (st->arg_num) {
	case 0:
		if (!*arg || arg[strspn(arg, "0123456789")])
			argp_error(st, "'%s' is not the number of a process",
				   arg);
		c->pid = arg;
		break;
	case 1:
		/* A number, or what the machine's programs call it: f+4K. */
		if (!*arg || strpbrk(arg, " \t\n\r;#\"{}"))
			argp_error(st, "'%s' is not an address", arg);
		c->address = arg;
		break;
	case 2:
		if (strcmp(arg, "load") && strcmp(arg, "store") &&
		    strcmp(arg, "fetch"))
			argp_error(st, "'%s' is not load, store or fetch",
				   arg);
		c->access = arg;
		break;
	default:
		argp_error(st, "too many arguments");
	}
	return 0;
}

static error_t client_opt(int key, char *arg, struct argp_state *st)
{
	struct client *c = st->input;

	switch (key) {
	case 'd':
		c->dir = arg;
		return 0;
	case 'n':
		c->name = arg;
		return 0;
	case ARGP_KEY_ARG:
		return client_arg(c, arg, st);
	case ARGP_KEY_END:
		if (st->arg_num < 2)
			argp_error(st, "say which process and which address");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp client_argp = {
	.options = client_options,
	.parser = client_opt,
	.args_doc = "PID ADDRESS [load|store|fetch]",
	.doc = "Walk one address of a running machine's process aloud, step by "
	       "step: every entry on the way, which bit of which one decides, "
	       "and what the pager has there. ADDRESS is a number, or a "
	       "mapping's name and an offset, as programs write it.",
};

static int client_fail(const char *path)
{
	fprintf(stderr, "pagervm: %s: %s; is a machine of that name running, "
		"and has it that process?\n", path, strerror(errno));
	return 1;
}

/* What the machine answered: on standard output; or what was wrong, without
 * the line of a file that the user has never seen. */
static int client_say(const char *answer, bool refused)
{
	const char *line = "ctl:1: ";

	if (refused) {
		if (strncmp(answer, line, strlen(line)) == 0)
			answer += strlen(line);
		fprintf(stderr, "pagervm: %s", answer);
		return 1;
	}
	if (fputs(answer, stdout) >= 0 && fflush(stdout) == 0)
		return 0;
	fprintf(stderr, "pagervm: standard output: %s\n", strerror(errno));
	return 1;
}

/* The whole answer of @fd. => NULL, and errno. */
static char *client_read(int fd)
{
	char buf[4096], *answer = NULL;
	size_t size;
	FILE *out = open_memstream(&answer, &size);
	ssize_t n;

	if (!out)
		return NULL;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, out);
	if (fclose(out) == 0 && n == 0)
		return answer;
	free(answer);
	return NULL;
}

static int client_ask(const char *path, const char *command)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), status;
	bool refused;
	char *answer;

	if (fd < 0)
		return client_fail(path);
	/* What was wrong with it is in the answer. */
	refused = write(fd, command, strlen(command)) < 0;
	answer = client_read(fd);
	close(fd);
	if (!answer)
		return client_fail(path);
	status = client_say(answer, refused);
	free(answer);
	return status;
}

int client_explain(int argc, char **argv)
{
	struct client c = { .dir = "mnt", .name = "vm0", .access = "load" };
	char name[] = "pagervm explain";
	char *path, *command;
	int status = 1;

	argv[0] = name;
	argp_err_exit_status = 64;
	argp_parse(&client_argp, argc, argv, 0, NULL, &c);
	if (asprintf(&path, "%s/vm/%s/%s/ctl", c.dir, c.name, c.pid) < 0)
		return 1;
	if (asprintf(&command, "explain %s self %s\n", c.access,
		     c.address) >= 0) {
		status = client_ask(path, command);
		free(command);
	}
	free(path);
	return status;
}
