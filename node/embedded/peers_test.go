package embedded

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// One who is let in and dropped at once comes again ever later.
func TestWhoIsDroppedHastensNot(t *testing.T) {
	came := make(chan time.Time, 16)
	full := opened(t, nil)
	full.host.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		came <- time.Now()
		go c.Close()
	}})
	opened(t, func(c *Config) { c.Listen, c.Peers = []string{"none"}, full.Addrs()[:1] })
	first := <-came
	for range 2 {
		<-came
	}
	if took, least := (<-came).Sub(first), 7*soonest; took < least {
		t.Errorf("the fourth time it came after %s, and not %s", took, least)
	}
}
