#!/usr/bin/env bash
# Builds, runs, tests and checks passenger.  `./build.sh help` lists what it does.
#
# Everything that is made lies under build/; nothing outside this folder is
# touched, except by apt when a package is missing (and then it is said).
set -euo pipefail

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
cd -- "$top"
umask 022

# The one place where the version stands.
readonly VERSION=0.1.0
readonly PYTHON=/usr/bin/python3 # Debian's: the test packages belong to it, whatever stands first on PATH
readonly BINARY_BYTES_MAX=478000

readonly PACKAGES_BUILD=(gcc libc6-dev linux-libc-dev musl-tools libbearssl-dev libinih-dev make binutils gzip)
readonly PACKAGES_RUN=(ruby ruby-rack curl)
readonly PACKAGES_CHECK=(clang-format clang-tidy shellcheck python3)
readonly PACKAGES_FUZZ=(clang libclang-rt-14-dev)
readonly PACKAGES_TEST=(libcmocka-dev python3 python3-pytest python3-requests apache2 ruby-sinatra nodejs
	curl procps iproute2 python3-flask python3-django python3-uvloop python3-pytest-xdist
	uvicorn python3-websockets gunicorn puma php-cli ruby-rails ruby-sqlite3)
readonly PACKAGES_IMAGES=(podman buildah runc debootstrap) # the full test builds the Dockerfile's images with them
readonly PACKAGES_BENCH=(python3 apache2 libapache2-mod-passenger nginx wrk)

# The same for every compiler; WERROR=0 lets an unknown one warn without failing.
readonly WARNINGS=(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
	-Wcast-qual -Wwrite-strings -Wvla -Wformat=2)

say()
{
	printf '%s\n' "$*" >&2
}

die()
{
	say "build.sh: $*"
	exit 1
}

# --- packages ---------------------------------------------------------------

package_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# need PACKAGE...: installs what is missing when it may, else says what to type.
need()
{
	local package missing=() sudo=()
	if ! command -v dpkg-query >/dev/null; then
		say "build.sh: this is not Debian; I assume that these packages or their like are there: $*"
		return
	fi
	for package in "$@"; do
		package_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		if ! sudo -n true 2>/dev/null; then
			say "build.sh: packages are missing and I may not install them.  Type this, then start again:"
			say "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
			exit 1
		fi
		sudo=(sudo -n)
	fi
	say "Installing with apt: ${missing[*]}"
	"${sudo[@]}" apt-get update -q >&2 || say "build.sh: apt-get update failed; trying with the lists that are there"
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 ||
		die "apt-get could not install ${missing[*]}"
}

# --- the makefile -----------------------------------------------------------

# module_sources: every .c that modules/ORDER names, lowest first.
module_sources()
{
	local module
	while read -r module _; do
		case $module in '' | '#'*) continue ;; esac
		if [ -f "modules/$module.c" ]; then
			echo "modules/$module.c"
		elif ! compgen -G "modules/$module.*" >/dev/null; then
			die "modules/ORDER names $module, but there is no modules/$module.c or .h"
		fi
	done <modules/ORDER
}

check_nothing_left_out()
{
	local left_out
	left_out=$(comm -13 <(module_sources | sort) <(find modules -name '*.c' | sort))
	[ -z "$left_out" ] || die "not in modules/ORDER: ${left_out//$'\n'/ }"
}

# replace FILE: standard input becomes FILE, whose time changes only when its content does.
replace()
{
	local new="$1.new"
	cat >"$new"
	if cmp -s "$new" "$1"; then rm "$new"; else mv "$new" "$1"; fi
}

# musl-gcc must not see /usr/include: only what stands here.
link_headers()
{
	local path
	mkdir -p build/include
	for path in /usr/include/bearssl.h /usr/include/bearssl /usr/include/ini.h /usr/include/linux \
		/usr/include/asm-generic "/usr/include/$(gcc -dumpmachine)/asm"; do
		[ -e "$path" ] || die "$path is missing (packages: ${PACKAGES_BUILD[*]})"
		ln -sfn "$path" "build/include/${path##*/}"
	done
}

# pack_loader FILE: its text compressed: three loaders cost the binary as much as one
# would.  Comments stay out, and indentation where it means nothing; the lines keep their
# numbers for backtraces.
pack_loader()
{
	case $1 in
	*.rb) sed '1!s/^[[:blank:]]*#.*$//; s/^[[:blank:]]*//' "$1" ;;
	*.py) sed 's/^[[:blank:]]*#.*$//' "$1" ;;
	*.js) sed 's|^[[:blank:]]*//.*$||; s/^[[:blank:]]*//' "$1" ;;
	*) die "$1: no way is known to strip the comments of this language" ;;
	esac | gzip -9n
}

# The texts that HELP() encloses in the table of options, each with its NUL, in the order of the rows.
pack_help()
{
	{
		echo 'const char help[] ='
		gcc -std=gnu11 -D_GNU_SOURCE -Imodules -E -P '-DHELP(...)=HELP_TEXT __VA_ARGS__ HELP_END' \
			modules/config/config_table.c | tr '\n' ' ' | sed 's/HELP_TEXT/\n&/g; s/HELP_END/\n/g' |
			sed -n 's/^HELP_TEXT\(.*\)/\1 "\\0"/p'
		echo ';'
	} | gcc -x c -c -o build/generated/help.o -
	objcopy -O binary -j .rodata build/generated/help.o build/generated/help
	gzip -9n <build/generated/help
}

# embed SYMBOL SOURCE: standard input becomes two symbols: loader_ruby_rb[] and loader_ruby_rb_size.
embed()
{
	local symbol=$1 path=$2 packed=build/generated/$1.gz
	replace "build/generated/$symbol.S" <<-END
		/* made by build.sh from $path */
		.section .rodata.$symbol, "a", %progbits
		.balign 16
		.global $symbol
		.type $symbol, %object
		$symbol:
		.incbin "$packed"
		1: .byte 0
		.size $symbol, . - $symbol
		.balign 8
		.global ${symbol}_size
		.type ${symbol}_size, %object
		${symbol}_size:
		.quad 1b - $symbol
		.size ${symbol}_size, 8
		.section .note.GNU-stack, "", %progbits
	END
	replace "$packed"
	echo "build/object/packed/$symbol.o: build/generated/$symbol.S $packed"
}

# What every object depends on: a change here compiles everything anew.
make_flags()
{
	cat <<-END
		CLANG := clang
		# gcc alone knows this one; a text for people that snprintf cuts is cut on purpose.
		GCC_WARNINGS = \$(WARNINGS) -Wno-format-truncation
		WARNINGS := ${WARNINGS[*]} $([ "${WERROR:-1}" = 0 ] || echo -Werror)
		COMMON := -std=gnu11 -g -D_GNU_SOURCE -Imodules -DPASSENGER_VERSION='"$VERSION"' -ffile-prefix-map='$top'=.
		HARDENING := -fstack-protector-strong -fstack-clash-protection
		# What touches every byte of every request is made fast, the rest small: a call in the last
		# place is smaller than its own copy of a function's end, and no function with "..." saves
		# registers for the floating point numbers that there are not.
		OPTIMISE := -Oz -fno-optimize-sibling-calls -fno-caller-saves -mgeneral-regs-only
		MUSL_FLAGS = \$(OPTIMISE) -fPIE \$(HARDENING) -ffunction-sections -fdata-sections \
			-fno-asynchronous-unwind-tables -idirafter build/include
		GCC_SANITIZE := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
		CLANG_SANITIZE := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
		MUSL := /usr/lib/$(uname -m)-linux-musl
		# musl 1.2.3 does not know the compact form: modules/base/start_musl.c applies it.
		COMPACT_RELOCATIONS := $([ "$(uname -m)" != x86_64 ] || echo -Wl,-z,pack-relative-relocs,-e,start_musl)
		LIBGCC := $(gcc -print-libgcc-file-name)
		LIBRARIES := $(gcc -print-file-name=libbearssl.a) $(gcc -print-file-name=libinih.a)
	END
}

loaders()
{
	find modules/apps -name '*.rb' -o -name '*.py' -o -name '*.js' | sort
}

# What there is to compile: a change here archives and links anew, no more.
make_lists()
{
	cat <<-END
		MODULES := $(module_sources | grep -v '^modules/base/[a-z]*_musl\.c$' | tr '\n' ' ')
		UNIT_SOURCES := $(find test/unit -name '*.c' 2>/dev/null | sort | tr '\n' ' ')
		FUZZ_SOURCES := $(find test/fuzz -name '*.c' 2>/dev/null | sort | tr '\n' ' ')
		MUSL_ONLY := $(module_sources | grep '^modules/base/[a-z]*_musl\.c$' | tr '\n' ' ')
		LOADERS := $(loaders | tr '\n' ' ')
	END
	local loader
	while read -r loader; do
		pack_loader "$loader" | embed "loader_$(basename "$loader" | tr -c 'a-zA-Z0-9\n' _)" "$loader"
	done < <(loaders)
	pack_help | embed help_texts modules/config/config_table.c
}

make_rules()
{
	cat <<-'END'
		.RECIPEPREFIX := >
		include build/flags.mk build/lists.mk
		FLAGS := build/Makefile build/flags.mk
		.SUFFIXES:
		.DELETE_ON_ERROR:
		.PHONY: binary asan unit fuzz
		packed_objects := build/object/packed/help_texts.o \
			$(foreach f,$(notdir $(LOADERS)),build/object/packed/loader_$(subst .,_,$(f)).o)
		musl_objects := $(patsubst %.c,build/object/musl/%.o,passenger.c $(MODULES) $(MUSL_ONLY))
		asan_objects := $(patsubst %.c,build/object/asan/%.o,$(MODULES))
		fuzz_objects := $(patsubst %.c,build/object/fuzz/%.o,$(MODULES))
		unit_programs := $(patsubst test/unit/%.c,build/unit/%,$(filter test/unit/test_%,$(UNIT_SOURCES)))
		unit_support := $(patsubst %.c,build/object/asan/%.o,$(filter-out test/unit/test_%,$(UNIT_SOURCES)))
		fuzz_programs := $(patsubst test/fuzz/%.c,build/fuzz/%,$(filter test/fuzz/fuzz_%,$(FUZZ_SOURCES)))
		fuzz_support := $(patsubst %.c,build/object/fuzz/%.o,$(filter-out test/fuzz/fuzz_%,$(FUZZ_SOURCES)))

		binary: build/passenger
		asan: build/passenger-asan
		unit: $(unit_programs)
		fuzz: $(fuzz_programs)

		# The linker's own script, but that segments follow each other in the file without a gap up to
		# the next page, and that the libraries' tables for C++ exceptions stay out.
		build/link.ld: $(FLAGS)
		> @ld -pie --verbose -z separate-code | sed -e '1,/^=====/d' -e '/^=====/,$$d' -e '/^ *\.eh_frame/d' \
		  	-e 's/^  \. = ALIGN(CONSTANT (MAXPAGESIZE));/  . += CONSTANT (MAXPAGESIZE);/' \
		  	-e 's|/DISCARD/ : {|& *(.eh_frame) *(.comment)|' >$@

		# The shipped binary.  musl-gcc's own -static-pie makes a dynamic program, so
		# the start files of a static PIE are given by hand (C needs none of gcc's).
		build/passenger.debug: $(musl_objects) $(packed_objects) build/lists.mk build/link.ld
		> @echo "  link    $@"
		> @gcc -nostdlib -nostartfiles -static-pie \
		  	-Wl,-O2,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--gc-sections,--build-id \
		  	-Wl,-T,build/link.ld,--no-eh-frame-hdr $(COMPACT_RELOCATIONS) \
		  	-o $@ $(MUSL)/rcrt1.o $(MUSL)/crti.o $(filter %.o,$^) $(LIBRARIES) \
		  	-Wl,--start-group $(MUSL)/libc.a $(LIBGCC) -Wl,--end-group $(MUSL)/crtn.o
		build/passenger: build/passenger.debug
		> @strip -R .comment -o $@.new $< && objcopy --add-gnu-debuglink=$< $@.new && mv $@.new $@

		hot := $(addprefix modules/,wire/http_octet)
		$(patsubst %,build/object/musl/%.o,$(hot)): OPTIMISE := -O2

		$(patsubst %.c,build/object/musl/%.o,$(MUSL_ONLY)): build/object/musl/%.o: %.c $(FLAGS)
		> @mkdir -p $(@D) && echo "  musl    $<"
		> @musl-gcc -std=gnu11 -g $(MUSL_FLAGS) $(GCC_WARNINGS) -fno-builtin -fno-stack-protector -MMD -MP -c -o $@ $<
		build/object/musl/%.o: %.c $(FLAGS)
		> @mkdir -p $(@D) && echo "  musl    $<"
		> @musl-gcc $(COMMON) $(MUSL_FLAGS) $(GCC_WARNINGS) -MMD -MP -c -o $@ $<
		$(packed_objects): $(FLAGS)
		> @mkdir -p $(@D) && echo "  packed  $(@F)"
		> @gcc -c -o $@ $(filter %.S,$^)

		# glibc with gcc's sanitizers: unit tests, and a passenger to try by hand.
		# Its optimiser warns of paths that do not exist, so warnings do not fail here.
		build/object/asan/%.o: %.c $(FLAGS)
		> @mkdir -p $(@D) && echo "  asan    $<"
		> @gcc $(COMMON) $(GCC_SANITIZE) $(GCC_WARNINGS) -Wno-error -MMD -MP -c -o $@ $<
		build/asan.a: $(asan_objects) $(packed_objects) build/lists.mk
		> @rm -f $@ && ar rcs $@ $(filter %.o,$^)
		# What tests share stays out of the program: it may bring names of its own (app_types).
		build/support.a: $(unit_support) build/lists.mk
		> @rm -f $@ && ar rcs $@ $(filter %.o,$^)
		build/unit/%: build/object/asan/test/unit/%.o build/support.a build/asan.a
		> @mkdir -p $(@D)
		> @gcc $(GCC_SANITIZE) -o $@ $^ -lcmocka -linih -lbearssl
		build/passenger-asan: build/object/asan/passenger.o build/asan.a
		> @gcc $(GCC_SANITIZE) -o $@ $^ -linih -lbearssl

		# clang: fuzz targets, and a second opinion on warnings.
		build/object/fuzz/%.o: %.c $(FLAGS)
		> @mkdir -p $(@D) && echo "  fuzz    $<"
		> @$(CLANG) $(COMMON) $(CLANG_SANITIZE) $(WARNINGS) -MMD -MP -c -o $@ $<
		build/fuzz.a: $(fuzz_objects) $(fuzz_support) $(packed_objects) build/lists.mk
		> @rm -f $@ && ar rcs $@ $(filter %.o,$^)
		build/fuzz/%: build/object/fuzz/test/fuzz/%.o build/fuzz.a
		> @mkdir -p $(@D)
		> @$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ -linih -lbearssl

		.SECONDARY:
		-include $(shell find build/object -name '*.d' 2>/dev/null)
	END
}

write_makefile()
{
	check_nothing_left_out
	mkdir -p build/generated build/object
	link_headers
	make_flags | replace build/flags.mk
	make_lists | replace build/lists.mk
	make_rules | replace build/Makefile
}

run_make()
{
	make -s -f build/Makefile -j "$(nproc)" "$@"
}

# What clangd and clang-tidy read: plain glibc flags, so that they need no musl.
write_compile_commands()
{
	local file separator='['
	{
		for file in passenger.c $(module_sources) $(find test -name '*.c' | sort); do
			printf '%s\n{"directory": "%s", "file": "%s", "command": "%s -c %s"}' "$separator" "$top" "$file" \
				"clang -std=gnu11 -D_GNU_SOURCE -Imodules '-DPASSENGER_VERSION=\\\"$VERSION\\\"' ${WARNINGS[*]}" "$file"
			separator=','
		done
		printf '\n]\n'
	} | replace compile_commands.json
}

# --- build ------------------------------------------------------------------

# What the binary must be, whatever the tools on this machine made of it.
verify_binary()
{
	local binary=build/passenger headers bytes
	headers=$(readelf -hlW "$binary")
	bytes=$(stat -c %s "$binary")
	grep -q 'Type: *DYN' <<<"$headers" || die "$binary is not a position-independent executable"
	! grep -q INTERP <<<"$headers" || die "$binary is dynamic: it has an INTERP segment"
	grep -q GNU_RELRO <<<"$headers" || die "$binary has no RELRO segment"
	grep -q 'GNU_STACK.* RW ' <<<"$headers" || die "$binary has an executable stack"
	[ "$bytes" -lt $BINARY_BYTES_MAX ] || die "$binary has $bytes bytes, and $BINARY_BYTES_MAX are the limit"
	echo "$binary: version $VERSION, $bytes bytes, static PIE"
}

build()
{
	need "${PACKAGES_BUILD[@]}"
	write_makefile
	write_compile_commands
	run_make binary
	ln -sfn passenger build/passenger-status
	ln -sfn passenger build/passenger-config
	verify_binary
}

# --- run --------------------------------------------------------------------

port_in_use()
{
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port()
{
	local port=3000
	while port_in_use "$port"; do port=$((port + 1)); done
	echo "$port"
}

# Started by root, passenger runs the balancer and the applications as users who must get to their files.
open_to_all()
{
	local folder=$1
	while [ "$folder" != / ]; do
		[[ $(stat -c %A "$folder") == *[xt] ]] || return 1
		folder=$(dirname "$folder")
	done
}

# await_ready PID INSTANCE_DIR URL: until the first request was answered.
await_ready()
{
	local tries
	for ((tries = 0; tries < 600; tries++)); do
		kill -0 "$1" 2>/dev/null || return 1
		if "$top/build/passenger" status --instance-dir "$2" >/dev/null 2>&1 &&
			curl -fsS -o /dev/null "$3" 2>/dev/null; then
			return 0
		fi
		sleep 0.1
	done
	say "build.sh: no answer from $3 within a minute"
	kill "$1"
	return 1
}

print_next_commands()
{
	local status
	status=$(printf '%q status --verbose --instance-dir %q' "$top/build/passenger" "$1")
	cat <<-END

		passenger serves the sample application.  Paste these into another terminal:

		  The page, through the front listener:
		    curl $2

		  The processes, each with its own address and password:
		    $status

		  The first process itself, through its door:
		    curl -s -H "X-Passenger-Connect-Password: \$($status | sed -n 's/^ *Password *: *//p' | head -n 1)" "\$($status | sed -n 's/^ *URL *: *//p' | head -n 1)"

		Ctrl-C ends it.
	END
}

run()
{
	local sample="$top/test/sample" instance="$top/build/run" port url pid
	need "${PACKAGES_BUILD[@]}" "${PACKAGES_RUN[@]}"
	build
	if [ "$(id -u)" -eq 0 ] && ! open_to_all "$top"; then
		instance=/run/passenger-sample
		say "Other users cannot enter $top: instance and sample application go to $instance and $instance-app"
		rm -rf "$instance-app"
		cp -R "$sample" "$instance-app"
		sample=$instance-app
	fi
	port=$(free_port)
	url=http://127.0.0.1:$port/
	"$top/build/passenger" serve --listen "127.0.0.1:$port" --instance-dir "$instance" "$sample" &
	pid=$!
	# A shell starts background programs with SIGINT ignored, so both become SIGTERM.
	trap 'kill -TERM "$pid" 2>/dev/null' INT TERM
	if await_ready "$pid" "$instance" "$url"; then print_next_commands "$instance" "$url"; fi
	while kill -0 "$pid" 2>/dev/null; do
		wait "$pid" || true # a signal for us ends the wait, not the program
	done
	wait "$pid"
}

# --- test, check, bench -----------------------------------------------------

# The whole of it is test/check/suite.py; its last line is "N passed, N failed".
run_tests()
{
	case ${1:-default} in default | quick | full) ;; *) die "test takes quick or full, not $1" ;; esac
	need "${PACKAGES_BUILD[@]}" "${PACKAGES_RUN[@]}" "${PACKAGES_CHECK[@]}" "${PACKAGES_FUZZ[@]}" "${PACKAGES_TEST[@]}"
	command -v npm >/dev/null || (need npm) || say "The applications from npm cannot be tested without it."
	[ "${1:-default}" != full ] || (need "${PACKAGES_IMAGES[@]}") || say "The images cannot be tested without these."
	[ "${1:-default}" != full ] || export PASSENGER_WALK_STEPS=10000000 # of test/unit/test_pool_walk.c
	exec "$PYTHON" test/check/suite.py "${1:-default}"
}

# run_checks [NAME...]: the rules of the house; without names, all.
run_checks()
{
	need "${PACKAGES_BUILD[@]}" "${PACKAGES_CHECK[@]}" ruby
	build
	"$PYTHON" test/check/check.py "$@"
}

build_asan()
{
	need "${PACKAGES_BUILD[@]}"
	write_makefile
	run_make asan
	echo "build/passenger-asan: version $VERSION, glibc, with AddressSanitizer and UndefinedBehaviorSanitizer"
}

bench()
{
	[ -f test/bench/bench.py ] || die "there is no test/bench/bench.py"
	need "${PACKAGES_BUILD[@]}" "${PACKAGES_RUN[@]}" "${PACKAGES_BENCH[@]}"
	build
	exec env PASSENGER_BIN="$top/build/passenger" "$PYTHON" test/bench/bench.py "$@"
}

format()
{
	need clang-format
	find passenger.c modules test -name '*.[ch]' -exec clang-format -i {} +
}

usage()
{
	cat <<-END
		usage: ./build.sh [COMMAND]

		  build          build/passenger, static (the default)
		  run            build, then serve the sample application on 127.0.0.1:3000 or the next free port
		  test           everything that CI runs; at most 20 minutes
		  test quick     for the inner loop, about two minutes: without the slow tests; what is tested for each
		                 language is tested for one, and of many cases a few are
		  test full      the same with the tests that take longer, and long fuzzing
		  check [NAME]   the rules of the house: order of modules, formatting, banned calls, documents ...; clang-tidy
		                 looks at the files that have changed since it found them clean
		  asan           build/passenger-asan, with the sanitizers, for hand use
		  bench          measure against others (test/bench)
		  fmt            format all C files
		  make TARGET    one target of the makefile under build/: binary, asan, unit, fuzz
		  packages       only install what the build needs
		  clean          remove build/
		  help           this text

		Missing packages are installed with apt when that is allowed, else the command to type is printed.
		WERROR=0 keeps warnings from failing the build.
	END
}

main()
{
	local command=${1:-build}
	[ $# -eq 0 ] || shift
	case $command in
	build) build ;;
	run) run ;;
	test) run_tests "$@" ;;
	check) run_checks "$@" ;;
	asan) build_asan ;;
	bench) bench "$@" ;;
	fmt) format ;;
	make)
		write_makefile
		write_compile_commands
		run_make "$@"
		;;
	packages) need "${PACKAGES_BUILD[@]}" ;;
	clean) rm -rf build compile_commands.json ;;
	help | --help | -h) usage ;;
	*)
		usage >&2
		exit 2
		;;
	esac
}

main "$@"
