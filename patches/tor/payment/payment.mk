# SPDX-License-Identifier: BSD-3-Clause
# Included by tor's patched Makefile.in. Not an include.am: the release comes
# with a generated Makefile.in, and touching an include.am would make everyone
# who builds it need the very automake that generated it.

PAYMENT_OBJECTS = \
	src/feature/payment/payment_cell.$(OBJEXT) \
	src/feature/payment/payment_circ.$(OBJEXT) \
	src/feature/payment/payment_conflux.$(OBJEXT) \
	src/feature/payment/payment_count.$(OBJEXT) \
	src/feature/payment/payment_credit.$(OBJEXT) \
	src/feature/payment/payment_edge.$(OBJEXT) \
	src/feature/payment/payment_entry.$(OBJEXT) \
	src/feature/payment/payment_event.$(OBJEXT) \
	src/feature/payment/payment_hold.$(OBJEXT) \
	src/feature/payment/payment_launch.$(OBJEXT) \
	src/feature/payment/payment_pool.$(OBJEXT) \
	src/feature/payment/payment_queue.$(OBJEXT) \
	src/feature/payment/payment_sys.$(OBJEXT)

PAYMENT_HEADERS = \
	$(srcdir)/src/feature/payment/magicwave_tor.h \
	$(srcdir)/src/feature/payment/payment.h \
	$(srcdir)/src/feature/payment/payment_internal.h \
	$(srcdir)/src/feature/payment/payment_sys.h

$(PAYMENT_OBJECTS): src/feature/payment/%.$(OBJEXT): \
		$(srcdir)/src/feature/payment/%.c $(PAYMENT_HEADERS) orconfig.h
	@$(MKDIR_P) src/feature/payment
	$(AM_V_CC)$(COMPILE) -c -o $@ $<

src/core/libtor-app.a: $(PAYMENT_OBJECTS)
