package embedded_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"playnode/node"
)

// TestWhereNobodyListensNobodyIs: who is met where the connection is refused is said
// not to be there.
func TestWhereNobodyListensNobodyIs(t *testing.T) {
	a, b := start(t, config(t)), start(t, config(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	addr := strings.Join([]string{"/ip4/127.0.0.1/tcp", port, "p2p", b.ID()}, "/")
	if err := a.Meet(t.Context(), addr, a.ID()); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("met at a closed port: %v", err)
	}
}
