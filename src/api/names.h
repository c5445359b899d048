/* names.h - the formats of names (k8s.io/apimachinery/pkg/util/validation): one Invalid error of a report for each thing wrong. */
#ifndef REPRISE_API_NAMES_H
#define REPRISE_API_NAMES_H

#include "api/codec.h"
#include "api/path.h"

void v_dns_label(Report *r, const Path *at, const char *value);
void v_dns_subdomain(Report *r, const Path *at, const char *value);
/* A generateName prefix may end with a dash: the last byte is not checked. */
void v_dns_subdomain_prefix(Report *r, const Path *at, const char *value);
void v_dns_subdomain_underscore(Report *r, const Path *at, const char *value);
/* Errors show <shown>, which may differ from what is checked. */
void v_qualified_name(Report *r, const Path *at, const char *shown, const char *value);
void v_label_value(Report *r, const Path *at, const char *value);

#endif
