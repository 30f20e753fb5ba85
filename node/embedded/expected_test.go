package embedded_test

import (
	"testing"

	"playnode/node"
	"playnode/node/embedded"
)

// TestExpected: without a network those are expected who are kept and absent,
// and what a peer has said that it speaks is known of it.
func TestExpected(t *testing.T) {
	b := start(t, config(t))
	if b.Expects() {
		t.Error("somebody is expected, of nobody")
	}
	const protocol = "/playnode/test/1.0.0"
	b.Handle(protocol, func(_ string, st node.Stream) { st.Reset() })
	a := start(t, config(t, b.Addrs()[0]))
	meet(t, a, b)
	if a.Expects() {
		t.Error("who is here is expected")
	}
	if !a.Speaks(b.ID(), protocol) || a.Speaks(b.ID(), "/playnode/other/1.0.0") || a.Speaks("nobody", protocol) {
		t.Error("what the other speaks is not what it has said")
	}
	c := start(t, config(t))
	addr := c.Addrs()[0]
	c.Close()
	if err := a.Connect(t.Context(), addr); err == nil || !a.Expects() {
		t.Errorf("who is kept and absent is not expected: %v", err)
	}
	cfg := config(t)
	cfg.Network = embedded.LAN
	if !start(t, cfg).Expects() {
		t.Error("a LAN brings nobody")
	}
}
