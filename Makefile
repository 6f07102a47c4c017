# pagerfs / pagervm
#
#   make            build/pagerfs and build/pagervm
#   make run        install what is missing, build, mount mnt/, take the tour
#   make test       everything, with a total line
#   make help       the rest

CC ?= gcc
PREFIX ?= /usr/local
BUILD ?= build
OPT ?= -O2 -g
SAN ?=
PKGS = fuse3 liburing libbsd-overlay

CPPFLAGS += -D_GNU_SOURCE -DFUSE_USE_VERSION=314 -I.
CFLAGS_ALL = -std=gnu11 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -fno-omit-frame-pointer $(OPT) $(SAN) \
	$(shell pkg-config --cflags fuse3 liburing) $(CFLAGS)
LIBS = $(shell pkg-config --libs fuse3 liburing) -lpthread -lm $(SAN)

EMU_SRC := $(wildcard emu/*.c)
PAGER_SRC := $(filter-out pager/pagervm.c,$(wildcard pager/*.c))
SWAP_SRC := $(wildcard swap/*.c)
VIEW_SRC := $(wildcard fs/view*.c)
FS_SRC := $(filter-out fs/pagerfs.c $(VIEW_SRC),$(wildcard fs/*.c))

LIB_SRC := $(EMU_SRC) $(PAGER_SRC) $(SWAP_SRC) $(VIEW_SRC) $(FS_SRC)
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
LIB := $(BUILD)/libpager.a

TEST_LIB_SRC := $(wildcard tests/lib/*.c)
TEST_LIB_OBJ := $(TEST_LIB_SRC:%.c=$(BUILD)/%.o)
UNIT_SRC := $(wildcard tests/*/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/%.c=$(BUILD)/tests/%)
BENCH_SRC := $(wildcard bench/*.c)
BENCH_BIN := $(BENCH_SRC:%.c=$(BUILD)/%)

all: $(BUILD)/pagerfs $(BUILD)/pagervm

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/pagerfs: $(BUILD)/fs/pagerfs.o $(LIB)
	@echo "  LINK $@"
	@$(CC) -o $@ $^ $(LIBS)

$(BUILD)/pagervm: $(BUILD)/pager/pagervm.o $(LIB)
	@echo "  LINK $@"
	@$(CC) -o $@ $^ $(LIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_LIB_OBJ) $(LIB)
	@echo "  LINK $@"
	@$(CC) -o $@ $^ -lcmocka $(LIBS)

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(LIB)
	@echo "  LINK $@"
	@$(CC) -o $@ $^ $(LIBS)

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

units: $(UNIT_BIN)
benches: $(BENCH_BIN)

.PHONY: all units benches
