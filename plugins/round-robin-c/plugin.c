/* Weighted round robin in C: nginx's smooth algorithm, asked for each request.
 *
 * When to use it. As `weighted-round-robin`, of which it is the older brother: that one returns the same turns as a plan, and
 * no call is needed. This one is here to show that a plugin needs no Rust, and what a call costs.
 *
 * What it costs. One call for each request, and a walk over all servers in it: O(n), about 1 ns for each.
 *
 * What it promises. In a row of as many requests as the sum of the weights, every server has exactly as many as its
 * weight; each worker of the host counts by itself. A change of the pool starts anew.
 *
 * Configuration. None.
 *
 * There is no C library here. `bindings/` is written by wit-bindgen and needs five functions of one, which are
 * in `freestanding/`. See `bindings/scheduler.h` for what the host offers and wants; its comments are the contract. */

#include "scheduler.h"

/* As many as the host ever names. */
#define MAX_SERVERS 4096

struct peer {
  uint32_t server;
  int32_t weight;
  /* What it is owed: grows by its weight with each request and falls by the sum of weights when it is chosen. */
  int32_t owed;
};

/* The servers that may be used. An instance has one thread and one pool, so this is all of its state. */
static struct peer peers[MAX_SERVERS];
static size_t peer_count;

void exports_weir_policy_lifecycle_describe(exports_weir_policy_lifecycle_description_t *ret) {
  /* Copies, since the bindings free what is returned. */
  scheduler_string_dup(&ret->name, "round-robin-c");
  scheduler_string_dup(&ret->version, "0.1.0");
  scheduler_string_dup(&ret->summary, "Smooth weighted round robin, in C and asked for each request");
}

bool exports_weir_policy_lifecycle_configure(scheduler_string_t *config,
                                             exports_weir_policy_lifecycle_config_error_t *err) {
  bool empty = true;
  for (size_t i = 0; i < config->len; i++) {
    if (config->ptr[i] > ' ') empty = false;
  }
  scheduler_string_free(config);
  if (!empty) {
    err->tag = WEIR_POLICY_TYPES_CONFIG_ERROR_INVALID;
    scheduler_string_dup(&err->val.invalid, "there is nothing to set; the configuration must be empty");
  }
  return empty;
}

void exports_weir_policy_scheduling_update(exports_weir_policy_scheduling_list_server_t *servers,
                                           exports_weir_policy_scheduling_plan_t *ret) {
  peer_count = 0;
  for (size_t i = 0; i < servers->len && i < MAX_SERVERS; i++) {
    const exports_weir_policy_scheduling_server_t *server = &servers->ptr[i];
    if (server->state == WEIR_POLICY_TYPES_STATE_UP && server->weight > 0) {
      peers[peer_count++] = (struct peer){.server = (uint32_t)i, .weight = (int32_t)server->weight};
    }
  }
  exports_weir_policy_scheduling_list_server_free(servers);
  ret->tag = peer_count > 0 ? EXPORTS_WEIR_POLICY_SCHEDULING_PLAN_PER_REQUEST
                            : EXPORTS_WEIR_POLICY_SCHEDULING_PLAN_FALLBACK;
}

static bool was_tried(const exports_weir_policy_scheduling_request_t *request, uint32_t server) {
  return server < 64 && (request->tried >> server & 1) != 0;
}

void exports_weir_policy_scheduling_pick(exports_weir_policy_scheduling_request_t *request,
                                         exports_weir_policy_scheduling_choice_t *ret) {
  struct peer *best = NULL;
  /* 4,096 servers of weight 256 are 2^20: neither this nor `owed` can overflow. */
  int32_t total = 0;
  for (struct peer *peer = peers; peer < peers + peer_count; peer++) {
    if (was_tried(request, peer->server)) continue;
    peer->owed += peer->weight;
    total += peer->weight;
    if (best == NULL || peer->owed > best->owed) best = peer;
  }
  if (best == NULL) {
    ret->tag = EXPORTS_WEIR_POLICY_SCHEDULING_CHOICE_FALLBACK;
    return;
  }
  best->owed -= total;
  ret->tag = EXPORTS_WEIR_POLICY_SCHEDULING_CHOICE_SERVER;
  ret->val.server = best->server;
}
