package embedded

import (
	"reflect"
	"testing"

	"github.com/libp2p/go-libp2p"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

// What bounds libp2p's services is what libp2p bounds them by.
func TestServicesAreBoundAsLibp2pHasThem(t *testing.T) {
	var ours, theirs rcmgr.ScalingLimitConfig
	boundServices(&ours)
	libp2p.SetDefaultServiceLimits(&theirs)
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("services are bound by %+v, and libp2p's own bounds are %+v", ours, theirs)
	}
}
