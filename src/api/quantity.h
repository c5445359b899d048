/* quantity.h - resource.Quantity: "100m", "1.5Gi", "1e3". Pure. */
#ifndef REPRISE_API_QUANTITY_H
#define REPRISE_API_QUANTITY_H

#include "base/mem.h"

/* Milli-units rounded up (Quantity.MilliValue): "1" -> 1000, "100m" -> 100, "1n" -> 1. false if not a quantity or it does
 * not fit. */
bool quantity_milli(const char *q, int64_t *ret);
/* Whole units rounded up (Quantity.Value): "1.5Gi" -> 1610612736, "100m" -> 1. */
bool quantity_value(const char *q, int64_t *ret);
/* -1, 0, 1 as a < b, a == b, a > b; both must be valid. */
int quantity_cmp(const char *a, const char *b);
/* The canonical text ("1000m" -> "1", "1024Mi" -> "1Gi"). Caller frees; NULL if not a quantity. */
MUST_USE char *quantity_canonical(const char *q);
/* Go's NewQuantity(v, BinarySI).String(): "100Mi", "1000" below 1024. Caller frees. In DecimalSI it is quantity_canonical() of v's digits. */
MUST_USE char *quantity_binary(int64_t v);

#endif
