/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_sys.h
 * @brief The subsystem's row in subsystem_list.c.
 **/

#ifndef TOR_FEATURE_PAYMENT_PAYMENT_SYS_H
#define TOR_FEATURE_PAYMENT_PAYMENT_SYS_H

extern const struct subsys_fns_t sys_payment;

/** After everything that it uses: it is the last in the list. */
#define PAYMENT_SUBSYS_LEVEL (100)

#endif /* !defined(TOR_FEATURE_PAYMENT_PAYMENT_SYS_H) */
