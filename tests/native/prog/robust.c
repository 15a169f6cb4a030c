/* tests/native/prog/robust.c - robust [MIB]
 *
 * A process, then a thread, ends with a robust mutex that was last touched before MIB were filled.
 * Whoever tries the mutex next is told that its owner died.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "prog.h"

#define SHARED_BYTES (1ul << 20)

static unsigned long mib;

static pthread_mutex_t *make(void *at, int shared)
{
	pthread_mutexattr_t attr;

	EXPECT(pthread_mutexattr_init(&attr) == 0);
	EXPECT(pthread_mutexattr_setpshared(&attr, shared) == 0);
	EXPECT(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
	EXPECT(pthread_mutex_init(at, &attr) == 0);
	return at;
}

static void *take_and_end(void *mutex)
{
	EXPECT(pthread_mutex_lock(mutex) == 0);
	press(mib);
	return NULL;
}

static void told(pthread_mutex_t *mutex, const char *whose)
{
	int err = pthread_mutex_trylock(mutex);

	if (err != EOWNERDEAD)
		fail("the mutex of %s that ended: %s", whose, strerror(err));
	EXPECT(pthread_mutex_consistent(mutex) == 0);
	EXPECT(pthread_mutex_unlock(mutex) == 0);
}

int main(int argc, char **argv)
{
	char *shared =
		mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *own = map_bytes(SHARED_BYTES);
	pthread_mutex_t *mutex;
	pthread_t thread;
	pid_t pid;

	mib = arg_number(argc, argv, 1, 32);
	EXPECT(shared != MAP_FAILED);
	mutex = make(shared + SHARED_BYTES / 2, PTHREAD_PROCESS_SHARED);
	pid = fork();
	EXPECT(pid >= 0);
	if (pid == 0)
		_exit(take_and_end(mutex) != NULL);
	EXPECT(waitpid(pid, NULL, 0) == pid);
	told(mutex, "a process");
	mutex = make(own + SHARED_BYTES / 2, PTHREAD_PROCESS_PRIVATE);
	EXPECT(pthread_create(&thread, NULL, take_and_end, mutex) == 0);
	EXPECT(pthread_join(thread, NULL) == 0);
	told(mutex, "a thread");
	return ok("%lu MiB", mib);
}
