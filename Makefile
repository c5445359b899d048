# Only forwards: meson builds, tools/ and tests/run do the rest. `sudo make demo` and `sudo make test` set up a bare Debian 12
# by themselves (tools/setup says what it installs).
BUILD ?= build
PREFIX ?= /usr/local
export BUILD

all:
	@tools/build

demo:
	@tools/setup build run
	@tools/build
	@tools/demo

test:
	@tools/setup build run test
	@tools/build
	@tests/run

bench:
	@tools/setup build run bench
	@tools/build
	@ninja -C $(BUILD) --quiet bench/stamp bench/floor
	@bench/run

fuzz:
	@tools/setup build fuzz
	@tools/fuzz

# As root. MINUTES, PODS; a quick look: make soak MINUTES=1 PODS=20
MINUTES ?= 10
PODS ?= 100
soak:
	@tools/setup build run test
	@tools/build
	@tests/nest tests/soak/run --minutes $(MINUTES) --pods $(PODS)

install:
	@tools/build -Dprefix=$(PREFIX)
	@meson install -C $(BUILD) --no-rebuild $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

# build/reprise_VERSION_ARCH.deb
deb:
	@tools/setup build deb
	@tools/deb

clean:
	rm -rf $(BUILD)

.PHONY: all demo test bench fuzz soak install deb clean
