// What Swift's Glibc does not show: peer credentials, descriptor passing, and a few file calls of Linux.
#ifndef HANSA_CLINUX_H
#define HANSA_CLINUX_H
#include <sys/types.h>
#endif
