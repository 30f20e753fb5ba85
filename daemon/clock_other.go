//go:build !linux

package daemon

import (
	"crypto/rand"
	"sync"
	"time"
)

// clockSynchronised is taken for granted: desktops have a battery behind
// their clock and keep it by themselves.
func clockSynchronised() bool { return true }

// bootID differs with every process: time that passed while none ran is not
// counted, which errs on the venue's side.
var bootID = sync.OnceValue(rand.Text)

var begun = time.Now()

func uptime() time.Duration { return time.Since(begun) }
