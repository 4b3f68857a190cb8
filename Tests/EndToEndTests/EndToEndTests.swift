// Real processes of the built `hansa`, real TLS on loopback, real data. One test at a time: each starts nodes that want both cores.
import Testing

@Suite(.serialized) struct EndToEndTests {}
