/*
 * inject.h - the rules in force, and what they say about a request.
 *
 * A set of rules is read whole and put in force whole, or not at all. Any
 * thread may call any of these.
 */
#ifndef FS_INJECT_H
#define FS_INJECT_H

#include "fs/op.h"
#include "fs/verdict.h"
#include "fs/volume.h"

#include <stdio.h>

#define INJECT_MESSAGE	400

/* The seed of random choices from now on; 0: one is made up. */
void inject_seed(uint64_t seed);

/*
 * Put the rules of @text in force, instead of those there are or (@add)
 * behind them. => 0; -EINVAL: nothing has changed, and @message says
 * "@where:LINE: ...".
 */
int inject_set(const char *text, size_t length, const char *where, bool add,
	       char message[INJECT_MESSAGE]);
/* Take rule @id out, 0: all. => 0 or -ENOENT. */
int inject_remove(unsigned int id);
/* ... and all that freeze. */
void inject_thaw(void);

/* The rules of the command line. => 0, or -errno after having reported. */
int inject_load(const struct options *options);

/*
 * What the rules say about a request for @opcode (op_of()) on @ino and
 * @target. => @verdict. SOURCE may be asked, and hang; no lock is held then.
 */
void inject_judge(struct volume *volume, unsigned int opcode, fuse_ino_t ino,
		  const struct op_target *target, struct verdict *verdict);
/* Is one of the rules that froze it still in force? */
bool inject_frozen(const struct verdict *verdict);
/*
 * Is there a rule that holds writes? One who was told to hold asks again when
 * it has: before, the last such rule may have gone and all have been flushed.
 */
bool inject_holds(void);
/* Quotas that count the request: all are charged with @bytes, or none, and
 * then => -errno. */
int inject_charge(const struct verdict *verdict, uint64_t bytes);
/* The @quotas of a verdict, of serials up to @last, get @bytes back. */
void inject_credit(uint64_t quotas, uint64_t last, uint64_t bytes);

/* The rules with their counts, in their own language. */
void inject_print(FILE *out);
/* ... and as metrics. */
void inject_print_metrics(FILE *out);

#endif
