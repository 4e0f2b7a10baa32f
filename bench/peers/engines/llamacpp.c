/*
 * llama.cpp by its C API, from the library that node-llama-cpp ships:
 * llamacpp BINARIES MODEL.gguf THREADS CONTEXT f16|f32 [SEQUENCES], the context being that of each sequence
 *
 * Speaks the protocol of serve.mjs. The package has no headers, so structures that are passed by value are declared
 * larger than they are (the ABI passes all of this size in memory), and the fields used are found at the places that
 * this version has them; what is found there is checked before it is changed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct { int32_t words[512]; } params;
typedef struct { int32_t count; void *tokens, *embeddings, *positions, *sequences, *ids; int8_t *logits; char beyond[64]; } batch;

void ggml_backend_load_all_from_path(const char *);
void llama_backend_init(void);
void llama_log_set(void (*)(int, const char *, void *), void *);
params llama_model_default_params(void);
params llama_context_default_params(void);
void *llama_model_load_from_file(const char *, params);
void *llama_init_from_model(void *, params);
void llama_set_n_threads(void *, int32_t, int32_t);
batch llama_batch_get_one(int32_t *, int32_t);
int32_t llama_decode(void *, batch);
void llama_synchronize(void *);
float *llama_get_logits_ith(void *, int32_t);
void *llama_get_memory(void *);
void llama_memory_clear(void *, char);
const char *llama_print_system_info(void);
void *llama_model_get_vocab(void *);
int32_t llama_vocab_n_tokens(void *);

enum { n_ctx = 0, n_batch = 1, n_ubatch = 2, n_seq_max = 3, type_k = 26, type_v = 27 }; /* words of llama_context_params */
enum { ggml_f32 = 0, ggml_f16 = 1, most = 512 };

static char cache[256]; /* what the library logs of its key-value cache */

static void watch(int level, const char *text, void *data) {
  const char *found = strstr(text, "K (");
  if (found && !cache[0]) {
    snprintf(cache, sizeof cache, "%s", found);
    cache[strcspn(cache, "\n")] = 0;
  }
}

static void fail(const char *what) {
  printf("{\"error\":\"%s\"}\n", what);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static int32_t tokens[most];

static void draw(int count) {
  for (int i = 0; i < count; i++) tokens[i] = 300 + rand() % 20000;
}

/* Passes of at most 512 tokens; the logits of the last token are there behind it. */
static void run(void *context, int count) {
  for (int done = 0; done < count;) {
    int part = count - done < most ? count - done : most;
    draw(part);
    if (llama_decode(context, llama_batch_get_one(tokens, part))) fail("llama_decode failed");
    done += part;
  }
  llama_synchronize(context);
  if (count) llama_get_logits_ith(context, -1);
}

static int best(const float *logits, int count) {
  int at = 0;
  for (int i = 1; i < count; i++)
    if (logits[i] > logits[at]) at = i;
  return at;
}

/* The likeliest token after 1000, 1001, ..., and its logit. */
static void check(void *context, int count, int vocabulary) {
  for (int i = 0; i < count; i++) tokens[i] = 1000 + i;
  if (llama_decode(context, llama_batch_get_one(tokens, count))) fail("llama_decode failed");
  float *logits = llama_get_logits_ith(context, -1);
  int token = best(logits, vocabulary);
  printf("{\"token\":%d,\"logit\":%.6g}\n", token, logits[token]);
}

/* `count` sequences at once: prompts of `in` tokens in passes of at most 512, then passes of a token of each, the likeliest. */
static void clients(void *context, int count, int in, int out, int vocabulary) {
  static int32_t positions[most], lengths[most], next[most], ones[most], owners[most], *owned[most];
  static int8_t asked[most];
  batch pass = {0, tokens, 0, positions, ones, owned, asked, {0}};
  int32_t done[most] = {0};
  for (int i = 0; i < most; i++) ones[i] = 1, owned[i] = &owners[i];
  for (int left = count * (in + out - 1); left;) {
    int rows = 0;
    for (int c = 0; c < count; c++) {
      int part = done[c] < in ? in - done[c] : done[c] < in + out - 1;
      if (part > most - rows) part = most - rows;
      for (int i = 0; i < part; i++, rows++) {
        tokens[rows] = done[c] + i < in ? 300 + rand() % 20000 : next[c];
        positions[rows] = done[c] + i;
        owners[rows] = c;
        asked[rows] = done[c] + i >= in - 1;
      }
      done[c] += lengths[c] = part;
    }
    pass.count = rows;
    if (llama_decode(context, pass)) fail("llama_decode failed");
    for (int c = 0, row = -1; c < count; c++) {
      row += lengths[c];
      if (lengths[c] && done[c] >= in) next[c] = best(llama_get_logits_ith(context, row), vocabulary);
    }
    left -= rows;
  }
}

int main(int argc, char **argv) {
  if (argc < 6) fail("usage: llamacpp BINARIES MODEL.gguf THREADS CONTEXT f16|f32");
  setvbuf(stdout, 0, _IOLBF, 0);
  int threads = atoi(argv[3]);
  llama_log_set(watch, 0);
  ggml_backend_load_all_from_path(argv[1]);
  llama_backend_init();
  void *model = llama_model_load_from_file(argv[2], llama_model_default_params());
  if (!model) fail("the model does not load");
  params given = llama_context_default_params();
  int32_t *words = given.words;
  if (words[n_batch] != 2048 || words[n_ubatch] != 512 || words[type_k] != ggml_f16 || words[type_v] != ggml_f16)
    fail("llama_context_params is laid out in another way in this version");
  int sequences = argc > 6 ? atoi(argv[6]) : 1;
  if (words[n_seq_max] != 1) fail("llama_context_params is laid out in another way in this version");
  words[n_seq_max] = sequences;
  words[n_ctx] = sequences * atoi(argv[4]);
  words[n_batch] = words[n_ubatch] = most;
  words[type_k] = words[type_v] = strcmp(argv[5], "f32") ? ggml_f16 : ggml_f32;
  void *context = llama_init_from_model(model, given);
  if (!context) fail("no context");
  llama_set_n_threads(context, threads, threads);
  printf("{\"name\":\"llama.cpp\",\"api\":\"C\",\"threads\":%d,\"cache\":\"%s\",\"system\":\"%s\"}\n", threads, cache, llama_print_system_info());

  char line[256], name[16];
  int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  for (int count, depth = 0, out = 0; fgets(line, sizeof line, stdin) && sscanf(line, "%15s %d %d %d", name, &count, &depth, &out) >= 2; depth = 0) {
    llama_memory_clear(llama_get_memory(context), 1);
    if (!strcmp(name, "check")) {
      check(context, count, vocabulary);
      continue;
    }
    if (!strcmp(name, "clients")) {
      double start = now();
      clients(context, count, depth, out, vocabulary);
      printf("{\"rate\":%.17g}\n", count * out / (now() - start));
      continue;
    }
    run(context, depth);
    double start = now();
    if (!strcmp(name, "prefill")) run(context, count);
    else for (int i = 0; i < count; i++) run(context, 1);
    printf("{\"rate\":%.17g}\n", count / (now() - start));
  }
  return 0;
}
