/*
 * mem_file.c - the files of the in-memory store.
 *
 * A file is found by name until another takes its name; it lives until its
 * last store is closed and the engine is destroyed. Lock: mem->lock.
 */
#include "tests/lib/mem_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct mem_file_store {
	struct store store;	/* first: found from it */
	struct mem_store *mem;
	struct mem_file *file;
};

static struct mem_file *find(struct mem_store *mem, const char *name)
{
	for (struct mem_file *f = mem->files; f; f = f->next)
		if (!f->replaced && !strcmp(f->name, name))
			return f;
	return NULL;
}

/* The file that a test names: it must be there. Takes the lock. */
static struct mem_file *take(struct mem_store *mem, const char *name)
{
	struct mem_file *file;

	pthread_mutex_lock(&mem->lock);
	file = find(mem, name);
	if (!file)
		abort();
	return file;
}

void mem_file_create(struct mem_store *mem, const char *name,
		     const void *data, uint64_t size)
{
	struct mem_file *file = mem_alloc(sizeof(*file)), *old;

	file->name = strdup(name);
	file->disk.data = mem_alloc(size);
	file->disk.size = size;
	if (data)
		memcpy(file->disk.data, data, size);
	pthread_mutex_lock(&mem->lock);
	old = find(mem, name);
	if (old)
		old->replaced = true;
	file->ino = mem->next_ino++;
	file->next = mem->files;
	mem->files = file;
	pthread_mutex_unlock(&mem->lock);
}

void mem_file_readonly(struct mem_store *mem, const char *name, bool on)
{
	take(mem, name)->readonly = on;
	pthread_mutex_unlock(&mem->lock);
}

void mem_file_resize(struct mem_store *mem, const char *name, uint64_t size)
{
	struct mem_disk *disk = &take(mem, name)->disk;

	disk->data = mem_resize(disk->data, size);
	if (size > disk->size)
		memset(disk->data + disk->size, 0, size - disk->size);
	disk->size = size;
	disk->version++;
	pthread_mutex_unlock(&mem->lock);
}

uint64_t mem_file_size(struct mem_store *mem, const char *name)
{
	uint64_t size = take(mem, name)->disk.size;

	pthread_mutex_unlock(&mem->lock);
	return size;
}

void mem_file_peek(struct mem_store *mem, const char *name, uint64_t off,
		   void *buf, size_t len)
{
	struct mem_disk *disk = &take(mem, name)->disk;

	assert(off <= disk->size && len <= disk->size - off);
	memcpy(buf, disk->data + off, len);
	pthread_mutex_unlock(&mem->lock);
}

void mem_file_poke(struct mem_store *mem, const char *name, uint64_t off,
		   const void *buf, size_t len)
{
	struct mem_disk *disk = &take(mem, name)->disk;

	assert(off <= disk->size && len <= disk->size - off);
	memcpy(disk->data + off, buf, len);
	pthread_mutex_unlock(&mem->lock);
}

unsigned mem_file_nopen(struct mem_store *mem, const char *name)
{
	unsigned n = take(mem, name)->nopen;

	pthread_mutex_unlock(&mem->lock);
	return n;
}

static void file_submit(struct store *store, struct store_io *io)
{
	struct mem_file_store *fs = (struct mem_file_store *)store;

	assert(io->store == store);
	assert(io->op != STORE_WRITE || store->writable);
	mem_start(fs->mem, io, &fs->file->disk, io->page);
}

static int file_size(struct store *store, uint64_t *bytes)
{
	struct mem_file_store *fs = (struct mem_file_store *)store;

	pthread_mutex_lock(&fs->mem->lock);
	*bytes = fs->file->disk.size;
	pthread_mutex_unlock(&fs->mem->lock);
	return 0;
}

static void file_close(struct store *store)
{
	struct mem_file_store *fs = (struct mem_file_store *)store;

	pthread_mutex_lock(&fs->mem->lock);
	for (struct mem_io *m = fs->mem->ios; m; m = m->next)
		assert(m->io->store != store);
	assert(fs->file->nopen);
	fs->file->nopen--;
	pthread_mutex_unlock(&fs->mem->lock);
	free(store->name);
	free(fs);
}

static const struct store_ops file_ops = {
	.submit = file_submit,
	.size = file_size,
	.close = file_close,
};

int mem_file_open(struct store_engine *engine, const char *path,
		  bool writable, struct store **store)
{
	struct mem_store *mem = (struct mem_store *)engine;
	struct mem_file_store *fs;
	struct mem_file *file;
	int err = 0;

	pthread_mutex_lock(&mem->lock);
	file = find(mem, path);
	if (!file)
		err = -ENOENT;
	else if (writable && file->readonly)
		err = -EACCES;
	else
		file->nopen++;
	pthread_mutex_unlock(&mem->lock);
	if (err)
		return err;
	fs = mem_alloc(sizeof(*fs));
	fs->store.ops = &file_ops;
	fs->store.dev = 0x6d656d;
	fs->store.ino = file->ino;
	fs->store.writable = writable;
	fs->store.name = strdup(path);
	fs->mem = mem;
	fs->file = file;
	*store = &fs->store;
	return 0;
}

void mem_files_destroy(struct mem_store *mem)
{
	struct mem_file *file;

	while ((file = mem->files)) {
		mem->files = file->next;
		assert(!file->nopen);
		free(file->disk.data);
		free(file->name);
		free(file);
	}
}
