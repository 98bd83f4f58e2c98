/* godwit/backend.h: the contract of a chip.
 *
 * A backend is a C table of functions. godwit hands it programs (flat lists of ops over tensors with static shapes), buffers and a queue;
 * the backend executes them and knows nothing else of godwit. What each op must compute, bit for bit, is the profile's definition:
 * docs/arithmetic.md.
 *
 * Versions.  `major` must be equal on both sides. Structures begin with `struct_size`; a side reads only the members that lie within the
 *   size it was given, so members are only ever appended, with a higher `minor`.
 * Threads.   A device, its queues, buffers and prepared programs are used by one thread at a time, except `abort`, `event_wait` and `event_ready`, which
 *   any thread may call at any time. The backend may start threads of its own; they must not touch signal handlers or the caller's
 *   floating-point mode.
 * Order.     Work given to one queue executes in the order given. Calls that take a queue may return before the work is done ("asynchronous"), or do the
 *   work at once; the caller must not rely on either. Work of different queues is unordered but for events.
 * Errors.    Every call that can fail returns a status and, where `error` is not NULL, a message for people. An error of asynchronous work
 *   comes with the next event_wait on that queue. After GODWIT_DEVICE_LOST every call but close and the destroy functions may fail at once.
 * Lifetimes. The caller destroys what it created, children first: events and prepared programs, queues, buffers, device. Memory handed in as
 *   const pointers is read before the call returns, except the sources of `write` and the destinations of `read` and bound buffers, which
 *   must stay until the work is done. Strings returned live as long as the object asked.
 * Alignment. Buffers and the offsets of tensors are multiples of GODWIT_ALIGNMENT bytes.
 */
#ifndef GODWIT_BACKEND_H
#define GODWIT_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GODWIT_BACKEND_MAJOR 1
#define GODWIT_BACKEND_MINOR 2
#define GODWIT_ALIGNMENT 512

typedef enum godwit_status {
  GODWIT_OK = 0,
  GODWIT_INVALID = 1,       /* the call or the program is wrong: a bug of the caller, or an option the user gave that cannot be */
  GODWIT_UNSUPPORTED = 2,   /* a correct request this backend does not serve (an op, a dtype, a profile, wrapping memory) */
  GODWIT_OUT_OF_MEMORY = 3, /* of the device or of the host; nothing was created */
  GODWIT_TIMEOUT = 4,       /* event_wait only: not yet; the work goes on */
  GODWIT_ABORTED = 5,       /* the work was given up after abort */
  GODWIT_DEVICE_LOST = 6,   /* the device no longer answers; close it */
  GODWIT_FAILED = 7         /* anything else; the message says what */
} godwit_status;

typedef struct godwit_error {
  godwit_status status;
  char message[1024]; /* NUL-terminated */
} godwit_error;

typedef enum godwit_dtype { GODWIT_F32 = 0, GODWIT_BF16 = 1, GODWIT_I32 = 2 } godwit_dtype;

/* Who owns a tensor's bytes and when they change. */
typedef enum godwit_role {
  GODWIT_TEMPORARY = 0, /* inside one run; at `offset` of the arena buffer */
  GODWIT_DERIVED = 1,   /* computed by the refresh part, kept between runs; at `offset` of the persistent buffer */
  GODWIT_CONSTANT = 2,  /* bound; written once, before the first run */
  GODWIT_INPUT = 3,     /* bound; may differ at every run */
  GODWIT_STATE = 4,     /* bound; changes only between runs, each change followed by a run of the refresh part, or by ops of the program itself */
  GODWIT_OUTPUT = 5     /* bound; written by the run */
} godwit_role;

typedef struct godwit_tensor {
  const char* name;
  godwit_dtype dtype;
  godwit_role role;
  int32_t rank; /* 0 to 4 */
  int64_t shape[4];
  int64_t offset; /* bytes, for TEMPORARY and DERIVED */
} godwit_tensor;

typedef struct godwit_attribute {
  const char* name;
  int32_t is_real; /* 0: `integer` holds; 1: `real` holds */
  int64_t integer;
  double real;
} godwit_attribute;

typedef struct godwit_op {
  const char* name; /* as in docs/arithmetic.md */
  const int32_t* inputs; /* indices of tensors, in the op's order */
  int32_t input_count;
  const int32_t* outputs;
  int32_t output_count;
  const godwit_attribute* attributes;
  int32_t attribute_count;
} godwit_op;

typedef struct godwit_program {
  uint32_t struct_size;
  const char* name;
  const char* profile; /* "exact/1", or a profile the backend lists */
  const godwit_tensor* tensors;
  int32_t tensor_count;
  const godwit_op* ops;
  int32_t op_count;
  /* ops[0 .. refresh_count) depend on state and constants alone: the refresh part. The rest is the main part. */
  int32_t refresh_count;
  int64_t arena_bytes;
  int64_t persistent_bytes;
} godwit_program;

typedef struct godwit_device godwit_device;
typedef struct godwit_buffer godwit_buffer;
typedef struct godwit_queue godwit_queue;
typedef struct godwit_event godwit_event;
typedef struct godwit_prepared godwit_prepared;

typedef struct godwit_option {
  const char* name; /* "threads", "isa" … ; an unknown one is GODWIT_INVALID */
  const char* value;
} godwit_option;

typedef struct godwit_device_info {
  uint32_t struct_size;
  char name[256];     /* "AMD EPYC, 2 threads, avx512_bf16" */
  char driver[256];   /* version of whatever can change results */
  int64_t memory_bytes;
  const char* const* profiles; /* NULL-terminated list of the profiles it executes */
} godwit_device_info;

typedef struct godwit_prepared_info {
  uint32_t struct_size;
  int64_t workspace_bytes; /* scratch the backend holds for this program beside the arena */
  int64_t private_bytes;   /* private layouts of state (packed weights), re-made in the refresh part */
} godwit_prepared_info;

/* Where a bound tensor lies: `offset` bytes into `buffer`. Indexed by tensor; entries of TEMPORARY and DERIVED tensors are ignored. A bound tensor may
 * lie in the arena, where it crosses from one program to the next: temporaries use its place only before it is first written, or after it was last
 * read, in the order of the ops; and an output may take an input's place as temporaries do. */
typedef struct godwit_binding {
  godwit_buffer* buffer;
  int64_t offset;
} godwit_binding;

typedef enum godwit_part {
  GODWIT_PART_REFRESH = 1, /* state has changed: run the refresh part and re-make private layouts. Required before the first MAIN */
  GODWIT_PART_MAIN = 2
} godwit_part;

/* A doubtful result: evidence, not an error. The run that made it ends as if nothing had happened, and the caller judges. */
typedef struct godwit_finding {
  uint32_t struct_size;
  int32_t op;        /* index in the program that ran */
  int32_t tensor;    /* index of the result in doubt */
  int64_t row;       /* of the result, all its dimensions but the last counted as one; -1 if the check does not tell rows apart */
  double difference; /* between the result and what the check expected; NaN where either is not finite, infinite where it does not count */
  double bound;      /* what rounding can explain; 0 where the result must be equal by bits */
  const godwit_prepared* prepared; /* the program; NULL: unknown */
} godwit_finding;

/* Spoils sums of products on purpose, after they are summed and before they are checked, rounded and stored (of other ops: results before they are
 * checked), so that whoever guards a run can be
 * tested. Which sums: results of ops of one name, or of one op of one program; of one shape; of a time. */
typedef enum godwit_spoil_kind {
  GODWIT_SPOIL_BIT = 0,        /* bit `bit` of one sum, or with bit < 0 a random one */
  GODWIT_SPOIL_BITS = 1,       /* 2 to 16 random bits of one sum */
  GODWIT_SPOIL_LANE = 2,       /* one lane of a vector, in every row of a tile */
  GODWIT_SPOIL_STRIPE = 3,     /* every fourth column of a tile */
  GODWIT_SPOIL_STALE = 4,      /* the tile keeps the sums of the tile before */
  GODWIT_SPOIL_SWAP = 5,       /* two rows of a tile change places */
  GODWIT_SPOIL_ZERO = 6,       /* a tile of zeros */
  GODWIT_SPOIL_EXPERT = 7,     /* the product with another group's weight */
  GODWIT_SPOIL_MISSING = 8     /* a tile is never written */
} godwit_spoil_kind;

typedef struct godwit_spoil {
  uint32_t struct_size;
  godwit_spoil_kind kind;
  const char* op;        /* name of the ops that are spoilt; NULL: all that sum products, or route */
  int32_t op_index;      /* of one op of the program; -1: of all */
  int64_t rows;          /* only results of that many rows; 0: of any */
  int32_t bit;           /* of GODWIT_SPOIL_BIT: 0 to 31, or -1 */
  double rate;           /* probability for each op that qualifies; 1: each */
  int64_t count;         /* times at most; 0: without end */
  double after_seconds;  /* nothing before that much time has passed */
  uint64_t seed;         /* where it strikes */
} godwit_spoil;

/* What was spoilt: told before the sum is written. `before` and `after` are of the sum that changed most, `row_rms` of its row in f32 before. */
typedef struct godwit_spoilt {
  int32_t op;
  int64_t row;
  int64_t column;
  double before;
  double after;
  double row_rms;
} godwit_spoilt;

typedef struct godwit_backend {
  uint32_t struct_size;
  uint16_t major;
  uint16_t minor;
  const char* name; /* "cpu" */

  /* Devices. Listing must not disturb a device in use. */
  int32_t (*device_count)(void);
  godwit_status (*device_describe)(int32_t index, godwit_device_info* info, godwit_error* error);
  godwit_status (*open)(int32_t index, const godwit_option* options, int32_t option_count, godwit_device** device, godwit_error* error);
  void (*close)(godwit_device* device);
  /* What was opened, after its options took effect. */
  godwit_status (*describe)(godwit_device* device, godwit_device_info* info, godwit_error* error);

  /* Buffers. Contents are undefined until written. `wrap` uses the caller's memory (aligned, at least `bytes` long, outliving the buffer);
   * GODWIT_UNSUPPORTED where the device cannot address it. `host` is the buffer's memory as the host may address it while no work that uses it is under
   * way, or NULL. */
  godwit_status (*buffer_create)(godwit_device* device, int64_t bytes, godwit_buffer** buffer, godwit_error* error);
  godwit_status (*buffer_wrap)(godwit_device* device, void* memory, int64_t bytes, godwit_buffer** buffer, godwit_error* error);
  void* (*buffer_host)(godwit_buffer* buffer);
  void (*buffer_destroy)(godwit_buffer* buffer);

  godwit_status (*queue_create)(godwit_device* device, godwit_queue** queue, godwit_error* error);
  void (*queue_destroy)(godwit_queue* queue);
  godwit_status (*write)(godwit_queue* queue, godwit_buffer* buffer, int64_t offset, const void* source, int64_t bytes, godwit_error* error);
  godwit_status (*read)(godwit_queue* queue, godwit_buffer* buffer, int64_t offset, void* destination, int64_t bytes, godwit_error* error);

  /* An event is reached when all work given to the queue before it is done. timeout_ms < 0 waits for ever. */
  godwit_status (*event_record)(godwit_queue* queue, godwit_event** event, godwit_error* error);
  godwit_status (*event_wait)(godwit_event* event, int64_t timeout_ms, godwit_error* error);
  int32_t (*event_ready)(godwit_event* event);
  void (*event_destroy)(godwit_event* event);

  /* Programs. `kernel_for` names the kernel that would execute the op at its shapes, or returns NULL if there is none; it needs no device memory.
   * `prepare` compiles, chooses kernels, allocates workspace: everything that may be slow or fail for want of memory happens here. */
  const char* (*kernel_for)(godwit_device* device, const godwit_program* program, int32_t op);
  godwit_status (*prepare)(godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error);
  godwit_status (*prepared_describe)(godwit_prepared* prepared, godwit_prepared_info* info, godwit_error* error);
  void (*prepared_destroy)(godwit_prepared* prepared);
  /* Runs one part. `arena` and `persistent` have at least the program's bytes; either may be NULL where that is 0. For the refresh part only STATE and
   * CONSTANT tensors are bound; the buffers of the others are NULL. */
  godwit_status (*run)(godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                       const godwit_binding* bindings, godwit_error* error);

  /* Gives up all work under way, as soon as the device can. May itself fail or do nothing; the caller kills the process then. */
  godwit_status (*abort)(godwit_device* device, godwit_error* error);

  /* Since minor 1; may be NULL. What one op has cost since the program was prepared: how often it ran, and the time from its begin to its end on the
   * device. Only of a device opened with the option "profile" = "1", where one op ends before the next begins; GODWIT_UNSUPPORTED otherwise. */
  godwit_status (*op_time)(godwit_prepared* prepared, int32_t op, int64_t* runs, int64_t* nanoseconds, godwit_error* error);

  /* Since minor 2; each may be NULL. Evidence of a device opened with the option "verify" = "inline" ("off" by default): its results are checked while they
   * are made, by vectors drawn from `key`, which the caller keeps secret and changes before each refresh and each run that it wants drawn anew. */
  godwit_status (*verify_key)(godwit_device* device, const uint64_t key[2], godwit_error* error);
  /* Moves the findings since the last call to `findings`, the first `capacity` of them; `count` is how many there were. First it looks whether what programs
   * left for the host since then (outputs, and state they wrote) is still what their ops made: so it is called when the host has taken it (hashed it,
   * sent it), and before the host writes there itself. May be called from `progress` (see watch). */
  godwit_status (*findings)(godwit_device* device, godwit_finding* findings, int32_t capacity, int64_t* count, godwit_error* error);
  /* How many results were checked since the device was opened. */
  int64_t (*checked)(godwit_device* device);
  /* Called in the thread that runs a program, or waits for it, whenever an op begins, or (without "profile") has begun; NULL: no longer. Be quick. */
  void (*watch)(godwit_device* device, void (*progress)(void* context, int32_t op), void* context);
  /* Spoils results from now on; NULL: no longer. `told` (may be NULL) is called before each, by any thread. */
  godwit_status (*spoil)(godwit_device* device, const godwit_spoil* spoil, void (*told)(void* context, const godwit_spoilt* spoilt), void* context,
                         godwit_error* error);
} godwit_backend;

/* The one symbol a backend's shared library exports. The table lives as long as the library. */
const godwit_backend* godwit_backend_entry(void);

#ifdef __cplusplus
}
#endif
#endif
