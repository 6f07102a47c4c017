/*
 * view_ctl.c - control files.
 *
 * write() -> partial line + new bytes -> up to the last newline: one call of
 * the machine's command function -> its message becomes the file's answer
 * (read from its start, whatever was read of the one before) and goes on the
 * board, which is what a file opened later starts with.
 *
 * All lines of one write() go to the machine as one text, so a statement of
 * several lines works when it is written at once, as a here-document is.
 *
 * Invariants: the partial line has no newline in it. An answer ends in one.
 *
 * Locks: run_lock is held while the file's command runs, so the commands of
 * one open file keep their order; lock, taken inside it or alone and never
 * across a command, guards what readers see. The board's lock is innermost.
 */
#include "fs/view_ctl.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fs/view_table.h"
#include "fs/view_text.h"

#define LINE_MAX_BYTES (1u << 20)
#define CUT_BYTES ((1u << 20) - 4096)	/* FUSE makes several of longer writes */
#define CUT_NOTE " (a write of more than 1M is several texts: it was cut)"
#define MESSAGE_BYTES (64u << 10)
#define BOARD_SIZE 64

struct posting {
	int pid;
	char *message;
};

struct view_board {
	pthread_mutex_t lock;
	struct posting posts[BOARD_SIZE];
	unsigned next;			/* the one to be overwritten */
};

struct view_ctl {
	struct view_board *board;
	atomic_uint refs;
	int pid;
	pthread_mutex_t run_lock, lock;
	struct view_text partial;
	bool cut;			/* run_lock: there is more of it */
	char *answer;			/* NULL: none so far */
	size_t answer_len, answer_read;
};

/* ---- the board ---- */

struct view_board *view_board_create(void)
{
	struct view_board *board = calloc(1, sizeof(*board));

	if (board)
		pthread_mutex_init(&board->lock, NULL);
	return board;
}

void view_board_destroy(struct view_board *board)
{
	if (!board)
		return;
	for (unsigned i = 0; i < BOARD_SIZE; i++)
		free(board->posts[i].message);
	pthread_mutex_destroy(&board->lock);
	free(board);
}

/* => board->lock is held. */
static struct posting *board_find(struct view_board *board, int pid)
{
	for (unsigned i = 0; i < BOARD_SIZE; i++)
		if (board->posts[i].message && board->posts[i].pid == pid)
			return &board->posts[i];
	return NULL;
}

/* A copy nobody can make is not posted: only those who come later miss it. */
static void board_post(struct view_board *board, int pid, const char *message)
{
	char *copy = strdup(message);
	struct posting *post;

	if (!copy)
		return;
	pthread_mutex_lock(&board->lock);
	post = board_find(board, pid);
	if (!post)
		post = &board->posts[board->next++ % BOARD_SIZE];
	free(post->message);
	post->pid = pid;
	post->message = copy;
	pthread_mutex_unlock(&board->lock);
}

static char *board_read(struct view_board *board, int pid)
{
	struct posting *post;
	char *copy = NULL;

	pthread_mutex_lock(&board->lock);
	post = board_find(board, pid);
	if (post)
		copy = strdup(post->message);
	pthread_mutex_unlock(&board->lock);
	return copy;
}

/* ---- one open control file ---- */

struct view_ctl *view_ctl_open(struct view_board *board, int pid)
{
	struct view_ctl *ctl = calloc(1, sizeof(*ctl));

	if (!ctl)
		return NULL;
	ctl->board = board;
	ctl->refs = 1;
	ctl->pid = pid;
	pthread_mutex_init(&ctl->run_lock, NULL);
	pthread_mutex_init(&ctl->lock, NULL);
	ctl->answer = board_read(board, pid);
	ctl->answer_len = ctl->answer ? strlen(ctl->answer) : 0;
	return ctl;
}

struct view_ctl *view_ctl_get(struct view_ctl *ctl)
{
	atomic_fetch_add(&ctl->refs, 1);
	return ctl;
}

void view_ctl_put(struct view_ctl *ctl)
{
	if (atomic_fetch_sub(&ctl->refs, 1) > 1)
		return;
	pthread_mutex_destroy(&ctl->run_lock);
	pthread_mutex_destroy(&ctl->lock);
	view_text_free(&ctl->partial);
	free(ctl->answer);
	free(ctl);
}

static void ctl_answer(struct view_ctl *ctl, char *message)
{
	pthread_mutex_lock(&ctl->lock);
	free(ctl->answer);
	ctl->answer = message;
	ctl->answer_len = strlen(message);
	ctl->answer_read = 0;
	pthread_mutex_unlock(&ctl->lock);
}

/* Say something when the command did not, and end in a newline. @message
 * has room for one byte more than its size. */
static void message_complete(char *message, size_t size, int err)
{
	size_t len = strnlen(message, size);

	message[len] = '\0';
	if (!len)
		strncat(message, err ? strerror(-err) : "ok", size - 1);
	len = strlen(message);
	if (message[len - 1] != '\n')
		strcpy(message + len, "\n");
}

/* => run_lock is held; no other. */
static int ctl_run(struct view_ctl *ctl, const struct view_source *src,
		   const char *text, size_t len, const atomic_bool *gone)
{
	char *message = calloc(1, MESSAGE_BYTES + sizeof(CUT_NOTE) + 1);
	int err;

	if (!message)
		return -ENOMEM;
	err = src->ops.command(src->ops.ctx, ctl->pid, text, len, gone,
			       message, MESSAGE_BYTES);
	if (err && ctl->cut)
		strcat(message, CUT_NOTE);
	message_complete(message, MESSAGE_BYTES + sizeof(CUT_NOTE), err);
	board_post(ctl->board, ctl->pid, message);
	ctl_answer(ctl, message);
	return err;
}

/* The partial line, and @data behind it, become @text; none is left over. */
static int ctl_gather(struct view_ctl *ctl, const char *data, size_t len,
		      struct view_text *text)
{
	pthread_mutex_lock(&ctl->lock);
	*text = ctl->partial;
	ctl->partial = (struct view_text){0};
	pthread_mutex_unlock(&ctl->lock);
	view_text_bytes(text, data, len);
	return text->failed ? -ENOMEM : 0;
}

static int ctl_keep(struct view_ctl *ctl, const char *rest, size_t len)
{
	struct view_text partial = {0};

	if (len > LINE_MAX_BYTES)
		return -E2BIG;
	view_text_bytes(&partial, rest, len);
	pthread_mutex_lock(&ctl->lock);
	ctl->partial = partial;
	pthread_mutex_unlock(&ctl->lock);
	return partial.failed ? -ENOMEM : 0;
}

/* Only what is left over is kept: after an error, the writer was told that
 * nothing was written, so nothing of it may run later. */
static int ctl_lines(struct view_ctl *ctl, const struct view_source *src,
		     const struct view_text *text, const atomic_bool *gone)
{
	const char *end = text->len ?
		memrchr(text->data, '\n', text->len) : NULL;
	size_t whole = end ? (size_t)(end + 1 - text->data) : 0;
	int err = whole ? ctl_run(ctl, src, text->data, whole, gone) : 0;

	if (err || whole == text->len)
		return err;
	return ctl_keep(ctl, text->data + whole, text->len - whole);
}

ssize_t view_ctl_write(struct view_ctl *ctl, const struct view_source *src,
		       const char *data, size_t len, const atomic_bool *gone)
{
	struct view_text text;
	bool more = len >= CUT_BYTES;
	int err;

	pthread_mutex_lock(&ctl->run_lock);
	ctl->cut |= more;
	err = ctl_gather(ctl, data, len, &text);
	if (!err)
		err = ctl_lines(ctl, src, &text, gone);
	ctl->cut = more;
	pthread_mutex_unlock(&ctl->run_lock);
	view_text_free(&text);
	return err ? err : (ssize_t)len;
}

bool view_ctl_partial(struct view_ctl *ctl)
{
	bool partial;

	pthread_mutex_lock(&ctl->lock);
	partial = ctl->partial.len;
	pthread_mutex_unlock(&ctl->lock);
	return partial;
}

int view_ctl_flush(struct view_ctl *ctl, const struct view_source *src,
		   const atomic_bool *gone)
{
	struct view_text text;
	int err;

	pthread_mutex_lock(&ctl->run_lock);
	err = ctl_gather(ctl, NULL, 0, &text);
	if (!err && text.len)
		err = ctl_run(ctl, src, text.data, text.len, gone);
	pthread_mutex_unlock(&ctl->run_lock);
	view_text_free(&text);
	return err;
}

size_t view_ctl_read(struct view_ctl *ctl, char *buf, size_t len)
{
	size_t left;

	pthread_mutex_lock(&ctl->lock);
	left = ctl->answer_len - ctl->answer_read;
	if (len > left)
		len = left;
	if (len)
		memcpy(buf, ctl->answer + ctl->answer_read, len);
	ctl->answer_read += len;
	pthread_mutex_unlock(&ctl->lock);
	return len;
}
