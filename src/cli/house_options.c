#include "cli/house_options.h"

static Err *number_option(const CliArgs *a, const char *name, int64_t min, int64_t max, int64_t *ret)
{
    const char *text = cli_opt(a, name);
    if (str_to_i64(text, ret) && *ret >= min && *ret <= max)
        return NULL;
    return err_new(ERR_INVALID, 0, "--%s=%s: give a number from %lld to %lld", name, text, (long long)min, (long long)max);
}

static Err *eviction_options(const CliArgs *a, EvictConfig *c)
{
    Err *e = eviction_parse(cli_opt(a, "eviction-hard"), cli_opt(a, "eviction-soft"), cli_opt(a, "eviction-soft-grace-period"),
                            cli_opt(a, "eviction-minimum-reclaim"), c);
    if (e)
        return err_wrap(e, "--eviction-hard, --eviction-soft, --eviction-soft-grace-period, --eviction-minimum-reclaim");
    e = cli_duration(a, "eviction-pressure-transition-period", &c->transition_ns);
    return e ? e : number_option(a, "eviction-max-pod-grace-period", -1, INT32_MAX, &c->max_pod_grace_s);
}

static Err *image_options(const CliArgs *a, ImageGcPolicy *p)
{
    Err *e = number_option(a, "image-gc-high-threshold", 0, 100, &p->high_percent);
    if (!e)
        e = number_option(a, "image-gc-low-threshold", 0, 100, &p->low_percent);
    if (!e && p->low_percent >= p->high_percent) /* pkg/kubelet/apis/config/validation */
        e = err_new(ERR_INVALID, 0, "--image-gc-low-threshold %lld must be less than --image-gc-high-threshold %lld", (long long)p->low_percent,
                    (long long)p->high_percent);
    if (!e)
        e = cli_duration(a, "minimum-image-ttl-duration", &p->min_age_ns);
    if (!e)
        e = cli_duration(a, "image-maximum-gc-age", &p->max_age_ns);
    if (!e && p->max_age_ns > 0 && p->max_age_ns < p->min_age_ns)
        e = err_new(ERR_INVALID, 0, "--image-maximum-gc-age must be greater than --minimum-image-ttl-duration");
    return e;
}

Err *cli_house_options(const CliArgs *a, HousekeepingOptions *ret)
{
    Err *e = eviction_options(a, &ret->eviction);
    return e ? e : image_options(a, &ret->images);
}
