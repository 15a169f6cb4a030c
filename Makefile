# The common commands. The build itself is meson.build; this only calls it.
#
#   make            build/umemcg and build/libumemcg-agent.so
#   make test       all tests, lock-order checks on (build-test): about 15 minutes on 2 CPUs
#   make test-quick   those that find most: 3 minutes, the build included
#   make test-asan  the same under the address and undefined-behaviour sanitizers (build-asan)
#   make test-tsan  the tests without processes, under the thread sanitizer (build-tsan)
#   make demo       a sort that needs three times its memory limit
#   make bench      measurements; BENCH='-q' passes arguments to bench/run.sh
#   make bench-engine   what the engine itself costs; BENCH='-r 21' passes arguments
#   make mutate     which synchronisation of the engine the checker's scenarios need; MUTATE='-j 4' passes arguments
#   make compat COMPAT=glibc    programs that are not ours, with and without umemcg: the same verdicts? (HACKING.md)
#   make soak MINUTES=60   the stress tests for a long time, plain and under the thread sanitizer in turn
#   make deb        Debian packages in build-deb
#   make deb-test   installs them in a new Debian 12 (debootstrap), uses and purges them; as root
#   make dist-binary   a tarball in build-deb that runs from any directory
#   make install PREFIX=/usr/local DESTDIR=
#   make clean      removes the build directories
#   make help       this list
#
# WERROR=true makes warnings errors. TESTS='--suite unit' passes arguments to `meson test`.

PREFIX ?= /usr/local
MINUTES ?= 60
WERROR ?= false
TESTS ?=
BENCH ?=
MUTATE ?=
COMPAT ?=

OPTIONS = -Dprefix=$(PREFIX) -Dlibdir=lib -Dwerror=$(WERROR)
TEST_OPTIONS = -Dwerror=$(WERROR) -Ddebug_checks=true

all: setup
	@tools/configure.sh build $(OPTIONS)
	@ninja -C build $(if $(VERBOSE),-v) umemcg umemcg-check libumemcg-agent.so

setup:
	@tools/setup.sh

test: setup
	@tools/configure.sh build-test $(TEST_OPTIONS)
	@tools/run-tests.sh build-test $(TESTS)

test-quick: setup
	@tools/configure.sh build-test $(TEST_OPTIONS)
	@tools/run-tests.sh build-test --suite quick

test-asan: setup
	@tools/configure.sh build-asan $(TEST_OPTIONS) -Db_sanitize=address,undefined
	@tools/run-tests.sh build-asan -t 4 $(if $(TESTS),$(TESTS),--no-suite shape)

test-tsan: setup
	@tools/configure.sh build-tsan $(TEST_OPTIONS) -Db_sanitize=thread
	@tools/run-tests.sh build-tsan -t 2 --suite unit $(TESTS)

demo: all
	@tools/demo.sh build/umemcg

bench: all
	@tools/configure.sh build-bench $(OPTIONS) -Dbench=true -Dtests=false
	@ninja -C build-bench bench-programs
	@UMEMCG=build/umemcg UMEMCG_BENCH_BIN=build-bench/bench sh bench/run.sh $(BENCH)

bench-engine: setup
	@tools/configure.sh build-bench $(OPTIONS) -Dbench=true -Dtests=false
	@ninja -C build-bench bench/bench-engine
	@build-bench/bench/bench-engine $(BENCH)

mutate: setup
	@tools/configure.sh build-test $(TEST_OPTIONS)
	@ninja -C build-test umemcg-mutate
	@build-test/umemcg-mutate $(MUTATE)

compat: all
	@tools/compat.sh -u build/umemcg $(if $(COMPAT),$(COMPAT),stress-ng)

soak: setup
	@tools/configure.sh build-test $(TEST_OPTIONS)
	@tools/configure.sh build-tsan $(TEST_OPTIONS) -Db_sanitize=thread
	@tools/soak.sh $(MINUTES) build-test build-tsan

deb:
	@tools/deb.sh build-deb

deb-test: deb
	@tools/deb-test.sh build-deb

dist-binary:
	@tools/dist-binary.sh build-deb

install: all
	@DESTDIR=$(DESTDIR) meson install -C build --no-rebuild

help:
	@sed -n '3,/^$$/s/^# \{0,1\}//p' Makefile

clean:
	rm -rf build build-test build-asan build-tsan build-bench build-dist build-deb

.PHONY: all setup test test-quick test-asan test-tsan demo bench bench-engine mutate compat soak deb deb-test dist-binary install help clean
