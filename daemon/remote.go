package daemon

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
)

// OpRemote tells what lets a phone drive the loudspeaker.
const OpRemote Op[RemoteRequest, RemoteKey] = "remote"

// RemoteRequest asks for the key of remote controls. New makes another one, so
// that whoever has the one before is let in no more.
type RemoteRequest struct {
	New bool `json:"new,omitempty"`
}

// RemoteKey lets whoever has it drive the loudspeaker by this box's pages.
type RemoteKey struct {
	// Key is 128 random bits as base64url.
	Key string `json:"key"`
	// HTTP is where the pages are served; "" where no daemon serves them: then
	// there is no new key.
	HTTP string `json:"http"`
}

// remoteRow is the key's in the box's secrets of remote controls.
const remoteRow = "key"

// remoteKey is the key, made where there is none. Another one is made only where
// there are pages: whoever asks is to see it.
func (d *Daemon) remoteKey(_ context.Context, req RemoteRequest, _ func(Event)) (RemoteKey, error) {
	d.mu.Lock()
	at := d.pagesAt
	d.mu.Unlock()
	if req.New && at == "" {
		return RemoteKey{}, nil
	}
	d.remoting.Lock()
	defer d.remoting.Unlock()
	key, err := d.remotes.Get(remoteRow)
	if err != nil {
		return RemoteKey{}, err
	}
	if len(key) == 0 || req.New {
		var b [16]byte
		rand.Read(b[:])
		key = []byte(base64.RawURLEncoding.EncodeToString(b[:]))
		if err := d.remotes.Put(remoteRow, key); err != nil {
			return RemoteKey{}, fmt.Errorf("keep the key of remote controls: %w", err)
		}
	}
	return RemoteKey{string(key), at}, nil
}

// Admits tells whether a key is that of this box's remote controls, in a time that
// does not tell how much of it is right. Where none was made, none is.
func (d *Daemon) Admits(key string) bool {
	own, err := d.remotes.Get(remoteRow)
	return err == nil && len(own) > 0 && subtle.ConstantTimeCompare(own, []byte(key)) == 1
}
