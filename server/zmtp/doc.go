// Package zmtp speaks ZMTP 3.1, the protocol between ZeroMQ sockets, with the
// security mechanism NULL: https://rfc.zeromq.org/spec/37/.
//
// It is one connection with one peer, made for peers that are not trusted: the
// handshake has a deadline, messages and their frames have limits, and memory
// grows with the bytes that have arrived, never with those that were announced.
// What is too large is passed over, and the connection goes on. Sockets with
// several peers, queues and patterns are the business of whoever uses it.
package zmtp
