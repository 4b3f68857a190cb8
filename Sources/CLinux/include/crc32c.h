// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720 §B.4), by the processor's instruction where it has one.
#ifndef HANSA_CRC32C_H
#define HANSA_CRC32C_H
#include <stddef.h>
#include <stdint.h>
// Continues a checksum over more bytes; start with 0. hansa_crc32c(hansa_crc32c(0, a), b) is the checksum of a followed by b.
uint32_t hansa_crc32c(uint32_t crc, const void *bytes, size_t count);
// The same by table, as on a processor without the instruction. For tests.
uint32_t hansa_crc32c_portable(uint32_t crc, const void *bytes, size_t count);
#endif
