#ifndef REPRISE_KUBE_TABLE_PRIV_H
#define REPRISE_KUBE_TABLE_PRIV_H

#include "kube/table.h"

/* Appends the cells of one Pod (printPod). */
void pod_cells(json_t *cells, const json_t *pod, int64_t now_ns);
void add_cell(json_t *cells, const char *text); /* NULL = "" */
void add_cell_or(json_t *cells, const char *text, const char *otherwise); /* for NULL and "" */

#endif
