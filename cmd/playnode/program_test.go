package main

import (
	"bytes"
	"os"
	"testing"
)

// Go's templates call methods by names that they read, so a program that can run
// one has every exported method of every type in it: a seventh more, all of which
// a start maps into memory. It looks into bin/playnode as the last make build left
// it: what has changed since is seen by the next.
func TestTheProgramRunsNoTemplates(t *testing.T) {
	if has(t, "playnode/node/http.NewHandler", "text/template.(*state).evalField") {
		t.Error("something runs a template: go build -ldflags=-dumpdep ./cmd/playnode 2>&1 | grep ReflectMethod tells what")
	}
}

// Whoever takes libp2p's options has its WebRTC, WebTransport and websockets in
// the program, which no node listens on nor dials by.
func TestTheProgramHasNoTransportThatNoNodeHas(t *testing.T) {
	for _, f := range []string{"pion/webrtc/v4.(*PeerConnection).Close", "gorilla/websocket.(*Conn).Close", "quic-go/webtransport-go.(*Session).OpenStream"} {
		if has(t, "go-libp2p/p2p/transport/quic.NewTransport", f) {
			t.Errorf("%s is in the program", f)
		}
	}
}

// has tells whether bin/playnode has a function, and that it would be seen by one
// that it has in any case.
func has(t *testing.T, surely, function string) bool {
	t.Helper()
	program, err := os.ReadFile("../../bin/playnode")
	if err != nil {
		t.Skip("SKIPPED: bin/playnode is not there as make build makes it")
	}
	if !bytes.Contains(program, []byte(surely)) {
		t.Fatal("the look into the program is blind")
	}
	return bytes.Contains(program, []byte(function))
}
