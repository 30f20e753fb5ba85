package pack

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestWhatIsFull(t *testing.T) {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if !full(fmt.Errorf("put: %w", &os.PathError{Op: "write", Path: "x", Err: e})) {
			t.Errorf("%v is a full disk", e)
		}
	}
	if full(syscall.EIO) || full(nil) {
		t.Error("not every error is a full disk")
	}
}
