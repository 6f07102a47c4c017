/*
 * The judge by KVM, when KVM is slow, interrupted or out of something: it
 * judges as ever, or it says that it is not there. Skipped where it is not.
 *
 * ioctl() is this file's own, so that KVM's answers can be others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "mmucheck/cases.h"
#include "mmucheck/engine.h"

int ioctl(int fd, unsigned long request, ...);

static struct {
	unsigned made;		/* machines asked for */
	unsigned fail_nth;	/* of them; 0: none */
	int fail_errno;
	bool interrupt;		/* every other request for one */
	unsigned narrower;	/* no guests with fewer address bits; 0: any */
	bool hang;		/* guests never stop */
} kvm;

/* => whether the request is answered, and *@ret */
static bool answer_create(int *ret)
{
	kvm.made++;
	*ret = -1;
	errno = EINTR;
	if (kvm.interrupt && kvm.made % 2)
		return true;
	errno = kvm.fail_errno;
	return kvm.made == kvm.fail_nth;
}

static bool answer_cpuid(const struct kvm_cpuid2 *cpuid, int *ret)
{
	*ret = -1;
	errno = EINVAL;
	for (unsigned i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 0x80000008)
			return (cpuid->entries[i].eax & 0xff) < kvm.narrower;
	return false;
}

/* Until a signal comes. EIO: none does */
static bool answer_run(int *ret)
{
	*ret = -1;
	if (kvm.hang && poll(NULL, 0, 3000) == 0)
		errno = EIO;
	return kvm.hang;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int ret;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_CREATE_VM && answer_create(&ret))
		return ret;
	if (request == KVM_SET_CPUID2 && answer_cpuid(arg, &ret))
		return ret;
	if (request == KVM_RUN && answer_run(&ret))
		return ret;
	return syscall(SYS_ioctl, fd, request, arg);
}

static char why[128];

/* As @kvm is now. => NULL */
static struct mc_engine *open_engine(void)
{
	kvm.made = 0;
	return engine_kvm_open(why, sizeof(why));
}

static void close_engine(struct mc_engine *e)
{
	e->close(e);
	memset(&kvm, 0, sizeof(kvm));
}

/* What it can do, undisturbed. => machines made to find out; 0: skip */
static unsigned undisturbed(struct mc_caps *caps)
{
	struct mc_engine *e;
	unsigned made;

	memset(&kvm, 0, sizeof(kvm));
	e = open_engine();
	if (!e)
		return 0;
	*caps = e->caps;
	made = kvm.made;
	close_engine(e);
	return made;
}

/* A signal while a machine is made costs nothing. */
static void test_interrupted(void **state)
{
	struct mc_engine *e;
	struct mc_caps caps;

	(void)state;
	if (!undisturbed(&caps))
		skip();
	kvm.interrupt = true;
	e = open_engine();
	assert_non_null(e);
	assert_memory_equal(&e->caps, &caps, sizeof(caps));
	close_engine(e);
}

static void no_machine(unsigned nth)
{
	kvm.fail_nth = nth;
	kvm.fail_errno = EMFILE;
	assert_null(open_engine());
	assert_string_equal(why, "KVM_CREATE_VM: Too many open files");
	memset(&kvm, 0, sizeof(kvm));
}

/* Whichever machine cannot be made: there is no judge with fewer answers. */
static void test_no_machine(void **state)
{
	struct mc_caps caps;
	unsigned made = undisturbed(&caps);

	(void)state;
	if (!made)
		skip();
	no_machine(1);
	no_machine(made / 2 + 1);
	no_machine(made);
}

/* A KVM that has no such guests has the others. */
static void test_no_narrow_guests(void **state)
{
	struct mc_engine *e;
	struct mc_caps caps;

	(void)state;
	if (!undisturbed(&caps))
		skip();
	kvm.narrower = caps.maxphyaddr[caps.nmaxphyaddr - 1];
	e = open_engine();
	assert_non_null(e);
	assert_int_equal(e->caps.nmaxphyaddr, 1);
	assert_int_equal(e->caps.maxphyaddr[0], kvm.narrower);
	assert_memory_equal(e->caps.mode, caps.mode, sizeof(caps.mode));
	close_engine(e);
}

static bool is_blocked(void)
{
	sigset_t now;

	sigprocmask(SIG_BLOCK, NULL, &now);
	return sigismember(&now, SIGALRM);
}

/*
 * A guest that does not stop is found, also by the child of somebody who had
 * the signal blocked; and the timer disturbs nothing else.
 */
static void test_watchdog(void **state)
{
	struct mc_result res[MC_ACCESSES];
	struct mc_engine *e;
	struct itimerval it;
	struct mc_case c;
	sigset_t tick;

	(void)state;
	sigemptyset(&tick);
	sigaddset(&tick, SIGALRM);
	sigprocmask(SIG_BLOCK, &tick, NULL);
	e = open_engine();
	if (!e)
		skip();
	cases_make(&c, MC_64, &e->caps, 1, 0);
	cases_load(&c, &e->mem);
	kvm.hang = true;
	e->run(e, &c, res);
	assert_int_equal(res[0].outcome, MC_LOST);
	assert_int_equal(res[0].detail & 0xfff, EINTR);
	getitimer(ITIMER_REAL, &it);
	assert_false(it.it_value.tv_sec || it.it_value.tv_usec);
	close_engine(e);
	assert_true(is_blocked());
	sigprocmask(SIG_UNBLOCK, &tick, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_no_machine),
		cmocka_unit_test(test_no_narrow_guests),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests_name("kvm", tests, NULL, NULL);
}
