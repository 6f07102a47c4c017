/*
 * control_file.c - rules and commands in, snapshots out.
 *
 * Text that is written is carried out by whole lines; what follows the last
 * newline waits for more, or for the close. One write is taken wholly or not
 * at all where it is rules; commands are carried out one by one up to the
 * first that fails. What came of it is remembered for readers of ctl.
 *
 * Locks: control_lock guards the last answer, and what is read from a file;
 * file->writing what is written to it, for two threads may write through one
 * open file, or one close it while the other writes. It is taken first, and
 * held while the lines are carried out, so that they keep their order.
 */
#include "fs/control_file.h"
#include "fs/fault.h"
#include "fs/gate.h"
#include "fs/held.h"
#include "fs/inject.h"
#include "fs/report.h"
#include "fs/stats.h"
#include "fs/under_way.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTROL_TEXT_MAX	(1u << 20)	/* not ended by a newline */
#define CONTROL_ANSWER		(INJECT_MESSAGE + 1)

struct control_file {
	enum control_kind kind;
	char *text;		/* the snapshot */
	size_t size;
	uint64_t base;		/* offset at which it begins */
	pthread_mutex_t writing; /* all below */
	char *pending;		/* what was written and is no line yet */
	size_t npending;
	bool replace;		/* by what comes next */
};

static pthread_mutex_t control_lock = PTHREAD_MUTEX_INITIALIZER;
static char control_answer[CONTROL_ANSWER] = "ok\n";

const char *control_file_name(enum control_kind kind, mode_t *mode)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[CONTROL_KINDS] = {
		[CONTROL_DIR] = { ".pagerfs", S_IFDIR | 0500 },
		[CONTROL_RULES] = { "rules", S_IFREG | 0600 },
		[CONTROL_CTL] = { "ctl", S_IFREG | 0600 },
		[CONTROL_STATS] = { "stats", S_IFREG | 0400 },
		[CONTROL_INFLIGHT] = { "inflight", S_IFREG | 0400 },
		[CONTROL_INODES] = { "inodes", S_IFREG | 0400 },
	};

	if (kind >= CONTROL_KINDS)
		return NULL;
	*mode = files[kind].mode;
	return files[kind].name;
}

/* ---- snapshots ---- */

static void control_print_stats(FILE *out, struct volume *volume)
{
	stats_print(out);
	fprintf(out, "# HELP pagerfs_inodes Inodes the kernel knows.\n"
		"# TYPE pagerfs_inodes gauge\npagerfs_inodes %zu\n",
		inode_table_count(&volume->inodes));
	held_print(out);
	inject_print_metrics(out);
}

static void control_print(FILE *out, enum control_kind kind,
			  struct volume *volume, struct loop *loop)
{
	switch (kind) {
	case CONTROL_RULES:
		inject_print(out);
		break;
	case CONTROL_CTL:
		pthread_mutex_lock(&control_lock);
		fputs(control_answer, out);
		pthread_mutex_unlock(&control_lock);
		break;
	case CONTROL_STATS:
		control_print_stats(out, volume);
		break;
	case CONTROL_INFLIGHT:
		under_way_print_requests(out, volume, loop);
		break;
	case CONTROL_INODES:
		under_way_print_inodes(out, volume);
		break;
	default:
		break;
	}
}

struct control_file *control_file_open(enum control_kind kind,
				       struct volume *volume,
				       struct loop *loop, bool replace)
{
	struct control_file *file = calloc(1, sizeof(*file));
	FILE *out;

	if (!file)
		return NULL;
	file->kind = kind;
	pthread_mutex_init(&file->writing, NULL);
	out = open_memstream(&file->text, &file->size);
	if (!out) {
		control_file_close(file);
		return NULL;
	}
	control_print(out, kind, volume, loop);
	if (fclose(out)) {
		control_file_close(file);
		return NULL;
	}
	file->replace = replace;
	return file;
}

void control_file_close(struct control_file *file)
{
	/* Opened to be emptied, and nothing written: so be it. */
	if (file->kind == CONTROL_RULES && file->replace)
		inject_remove(0);
	free(file->text);
	free(file->pending);
	pthread_mutex_destroy(&file->writing);
	free(file);
}

size_t control_file_read(struct control_file *file, char *to, size_t size,
			 uint64_t offset)
{
	pthread_mutex_lock(&control_lock);
	if (offset >= file->base)
		offset -= file->base;
	if (offset > file->size)
		offset = file->size;
	if (size > file->size - offset)
		size = file->size - offset;
	memcpy(to, file->text + offset, size);
	pthread_mutex_unlock(&control_lock);
	return size;
}

/* ---- commands ---- */

static int control_cut(const char *share)
{
	char rule[64], message[INJECT_MESSAGE];
	size_t length = strcspn(share, " \t;");
	struct rule *cut;

	if (share[length + strspn(share + length, " \t")])
		return -EINVAL;
	/* The same syntax as in a rule, and so the same reader. */
	snprintf(rule, sizeof(rule), "all * cut%s%.20s", *share ? "=" : "",
		 share);
	cut = rules_parse(rule, strlen(rule), "cut", message, sizeof(message));
	if (!cut)
		return -EINVAL;
	fault_cut(cut->keep, gate_now());
	rules_free(cut);
	return 0;
}

static int control_number(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno ? 0 : -EINVAL;
}

static int control_remove(const char *text)
{
	uint64_t id;

	if (control_number(text, &id) || !id || id > UINT32_MAX)
		return -EINVAL;
	return inject_remove(id);
}

static int control_seed(const char *text)
{
	uint64_t seed;

	if (control_number(text, &seed) || !seed)
		return -EINVAL;
	inject_seed(seed);
	return 0;
}

static int control_clear(const char *text)
{
	return *text ? -EINVAL : inject_remove(0);
}

static int control_thaw(const char *text)
{
	if (*text)
		return -EINVAL;
	inject_thaw();
	return 0;
}

static int control_flush(const char *text)
{
	return *text ? -EINVAL : held_flush_all();
}

static int control_drop(const char *text)
{
	if (*text)
		return -EINVAL;
	held_drop_all();
	return 0;
}

static const struct control_command {
	const char *name;
	int (*run)(const char *argument);
	const char *usage;
} control_commands[] = {
	{ "clear", control_clear, "clear" },
	{ "remove", control_remove, "remove NUMBER, of a rule there is" },
	{ "seed", control_seed, "seed NUMBER, 1 or more" },
	{ "thaw", control_thaw, "thaw" },
	{ "flush", control_flush, "flush" },
	{ "drop", control_drop, "drop" },
	{ "cut", control_cut, "cut, or cut SHARE, as in cut 50%" },
};

static int control_run(const struct control_command *command,
		       const char *argument, char *message)
{
	int err = command->run(argument);

	if (err == -EINVAL || err == -ENOENT)
		snprintf(message, INJECT_MESSAGE,
			 ".pagerfs/ctl: '%s %.100s': expected %s",
			 command->name, argument, command->usage);
	else if (err)
		snprintf(message, INJECT_MESSAGE, ".pagerfs/ctl: %s: %s",
			 command->name, strerror(-err));
	return err;
}

/* One line: a command, or else a rule to be added. */
static int control_line(char *line, char *message)
{
	size_t i, length;

	line += strspn(line, " \t");
	length = strcspn(line, " \t");
	for (i = 0; i < sizeof(control_commands) /
	     sizeof(*control_commands); i++) {
		if (strlen(control_commands[i].name) != length ||
		    memcmp(control_commands[i].name, line, length))
			continue;
		line += length;
		line += strspn(line, " \t");
		return control_run(&control_commands[i], line, message);
	}
	return inject_set(line, strlen(line), ".pagerfs/ctl", true, message);
}

static int control_lines(const char *text, size_t size, char *message)
{
	char *copy, *rest, *line;
	int err;

	if (memchr(text, '\0', size)) {
		snprintf(message, INJECT_MESSAGE, ".pagerfs/ctl: expected "
			 "lines of text, without a NUL");
		return -EINVAL;
	}
	copy = rest = strndup(text, size);
	err = copy ? 0 : -ENOMEM;
	while (!err && (line = strsep(&rest, "\n")))
		err = control_line(line, message);
	free(copy);
	return err;
}

/* ---- writing ---- */

/* Readers of this open file find the answer behind what was written. */
static void control_set_answer(struct control_file *file, const char *answer,
			       uint64_t base)
{
	char *text = strdup(answer);

	if (!text)
		return;
	pthread_mutex_lock(&control_lock);
	free(file->text);
	file->text = text;
	file->size = strlen(text);
	file->base = base;
	pthread_mutex_unlock(&control_lock);
}

/* Carry out @size bytes of @text; what came of it is remembered, and put into
 * @answer. */
static int control_carry_out(struct control_file *file, const char *text,
			     size_t size, char answer[CONTROL_ANSWER])
{
	char message[INJECT_MESSAGE] = "";
	int err;

	if (file->kind == CONTROL_CTL)
		err = control_lines(text, size, message);
	else
		err = inject_set(text, size, ".pagerfs/rules",
				 !file->replace, message);
	file->replace = false;	/* what was wrong has changed nothing */
	if (err && !message[0])
		snprintf(message, sizeof(message), "%s", strerror(-err));
	if (err)
		report("%s", message);
	snprintf(answer, CONTROL_ANSWER, "%s\n", err ? message : "ok");
	pthread_mutex_lock(&control_lock);
	strcpy(control_answer, answer);
	pthread_mutex_unlock(&control_lock);
	return err;
}

static char *control_append(struct control_file *file, const char *data,
			    size_t size)
{
	char *text;

	if (size > CONTROL_TEXT_MAX - file->npending)
		return NULL;
	text = realloc(file->pending, file->npending + size + 1);
	if (!text)
		return NULL;
	memcpy(text + file->npending, data, size);
	file->pending = text;
	file->npending += size;
	return text;
}

/* => The lock of what is written is held. */
static int control_take(struct control_file *file, const char *data,
			size_t size, uint64_t offset)
{
	char *text = control_append(file, data, size), *end;
	char answer[CONTROL_ANSWER];
	size_t whole;
	int err;

	if (!text)
		return -EFBIG;
	end = memrchr(text, '\n', file->npending);
	if (!end)
		return 0;
	whole = end + 1 - text;
	err = control_carry_out(file, text, whole, answer);
	file->npending -= whole;
	if (err)
		file->npending = 0;
	memmove(text, text + whole, file->npending);
	/* Where the writer's position is now: a failed write moves nothing. */
	if (file->kind == CONTROL_CTL)
		control_set_answer(file, answer, err ? offset : offset + size);
	return err;
}

int control_file_write(struct control_file *file, const char *data,
		       size_t size, uint64_t offset)
{
	int err;

	pthread_mutex_lock(&file->writing);
	err = control_take(file, data, size, offset);
	pthread_mutex_unlock(&file->writing);
	return err;
}

int control_file_flush(struct control_file *file)
{
	char answer[CONTROL_ANSWER];
	size_t size;
	int err = 0;

	pthread_mutex_lock(&file->writing);
	size = file->npending;
	file->npending = 0;
	if (size)
		err = control_carry_out(file, file->pending, size, answer);
	pthread_mutex_unlock(&file->writing);
	return err;
}
