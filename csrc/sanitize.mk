# Sanitized builds of a core and its fuzz.c. A core's Makefile says NAME and SOURCES before it
# includes this, and what it wants otherwise; the package itself is built by build_ffi.py.
SECONDS ?= 60
LONGEST ?= 8192
CLANG_SANITIZERS ?= address,undefined
BUILD := ../../build/$(NAME)
STANDALONE := -DDCN_$(shell echo $(NAME) | tr a-z A-Z)_STANDALONE
FLAGS += -std=c11 -O1 -g -fno-omit-frame-pointer -Wall -Wextra -Wpedantic -Wconversion -Werror \
    -fno-sanitize-recover=all
LINKED := $(SOURCES) fuzz.c -pthread -lm

.PHONY: asan tsan fuzz

# Random inputs under AddressSanitizer and UBSan, with any compiler.
asan: $(BUILD)/asan
	$(BUILD)/asan $(SECONDS)

# The same under ThreadSanitizer, which sees a race whether or not it goes wrong.
tsan: $(BUILD)/tsan
	$(BUILD)/tsan $(SECONDS)

# Coverage-guided, with clang.
fuzz: $(BUILD)/fuzz
	mkdir -p $(BUILD)/corpus
	$(BUILD)/fuzz -max_total_time=$(SECONDS) -max_len=$(LONGEST) -print_final_stats=1 \
	    $(BUILD)/corpus

$(BUILD)/asan $(BUILD)/tsan $(BUILD)/fuzz: $(SOURCES) fuzz.c $(wildcard *.h ../*.h)
	mkdir -p $(BUILD)
	$(COMPILE) $(FLAGS) $(LINKED) -o $@

$(BUILD)/asan: COMPILE = $(CC) $(STANDALONE) -fsanitize=address,undefined
$(BUILD)/tsan: COMPILE = $(CC) $(STANDALONE) -fsanitize=thread
$(BUILD)/fuzz: COMPILE = clang -fsanitize=fuzzer,$(CLANG_SANITIZERS)
