/* Until the subsystem is in the series: payments are down. */
#include "magicwave_tor.h"
int mw_install(mw_event_fn f, void *h, const mw_policy_t *p) { (void)f; (void)h; (void)p; return 0; }
int mw_set_policy(const mw_policy_t *p) { (void)p; return MW_DOWN; }
int mw_send(uint64_t c, uint32_t h, const uint8_t *b, size_t l) { (void)c; (void)h; (void)b; (void)l; return MW_DOWN; }
int mw_grant(uint64_t c, uint64_t n) { (void)c; (void)n; return MW_DOWN; }
int mw_watch(uint64_t c, uint32_t h, uint64_t n) { (void)c; (void)h; (void)n; return MW_DOWN; }
int mw_query(uint64_t c) { (void)c; return MW_DOWN; }
int mw_launch(uint64_t t, const uint8_t r[20], uint32_t f) { (void)t; (void)r; (void)f; return MW_DOWN; }
int mw_close(uint64_t c) { (void)c; return MW_DOWN; }
void mw_stats(mw_stats_t *o) { *o = (mw_stats_t){0}; }
const char *mw_tor_version(void) { return ""; }
