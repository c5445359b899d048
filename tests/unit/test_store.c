#include "check.h"
#include "store/store.h"
static void test_x(void){CHECK(1);}
TESTS(T(test_x))
