package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Player is the loudspeaker of a box, as who has its key drives it. Safe for
// concurrent use.
type Player interface {
	// Admits tells whether a key drives it, in a time that does not tell how
	// much of it is right.
	Admits(key string) bool
	// Heard is what it does.
	Heard(ctx context.Context) (Heard, error)
	// Do has it do something, and tells what it does then. An error's text is
	// for whoever wanted it.
	Do(ctx context.Context, o Order) (Heard, error)
	// Shelf is what it can be told to play.
	Shelf(ctx context.Context) (Shelf, error)
}

// Heard is what a loudspeaker does.
type Heard struct {
	// State is "playing", "paused", "starting", "silent", "sinkless" or "stopped".
	State string `json:"state"`
	// Plays is an Item's of what is heard.
	Plays  string `json:"plays"`
	Track  string `json:"track"` // its CID; "" of a set on air
	Title  string `json:"title"`
	Artist string `json:"artist"`
	Live   bool   `json:"live"`
	AtMs   int64  `json:"atMs"`
	Ms     int64  `json:"ms"`
	// Next is the track that comes next, in one line; "" while that is not known.
	Next string `json:"next"`
	// Volume and Ceiling are percents.
	Volume  int `json:"volume"`
	Ceiling int `json:"ceiling"`
}

// Order is what a loudspeaker is to do.
type Order struct {
	// Do is one of Orders.
	Do string `json:"do"`
	// Volume, in percent, comes with volume; Track, a CID, with block and
	// unblock; Plays, an Item's or "" for the schedule, with play.
	Volume int    `json:"volume"`
	Track  string `json:"track"`
	Plays  string `json:"plays"`
}

// Orders are all that a page can have a loudspeaker do.
var Orders = []string{"play", "next", "prev", "pause", "resume", "stop", "volume", "block", "unblock"}

// Shelf is what a loudspeaker can be told to play, and how the box is.
type Shelf struct {
	Items []Item `json:"items"`
	// Scheduled tells that there is a schedule, which plays what is in no Item.
	Scheduled bool `json:"scheduled"`
	// Fine is how the box is, in a sentence; Wrong is what somebody has to see to.
	Fine  string   `json:"fine"`
	Wrong []string `json:"wrong"`
}

// Item is a playlist that is leased.
type Item struct {
	Plays string    `json:"plays"`
	Label string    `json:"label"`
	DJ    string    `json:"dj"`
	Until time.Time `json:"until"`
}

// maxOrder bounds an order, in bytes.
const maxOrder = 4096

// remote is the page. It is the same for all; the key is in its address's fragment,
// which browsers keep to themselves.
func (p *pages) remote(w http.ResponseWriter, _ *http.Request) { show(w, "remote.html") }

// driven lets in who has the key, and answers in JSON.
func (p *pages) driven(h func(w http.ResponseWriter, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || !p.Player.Admits(key) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, errors.New("this key lets nobody in: `playnode remote` shows the one that does"))
			return
		}
		out, err := h(w, r)
		if err != nil {
			status := http.StatusConflict
			if errors.Is(err, errOrder) {
				status = http.StatusBadRequest
			}
			refuse(w, status, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(out)
	}
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

func (p *pages) heard(_ http.ResponseWriter, r *http.Request) (any, error) {
	return p.Player.Heard(r.Context())
}

func (p *pages) shelf(_ http.ResponseWriter, r *http.Request) (any, error) {
	return p.Player.Shelf(r.Context())
}

var errOrder = errors.New("no such order")

func (p *pages) order(w http.ResponseWriter, r *http.Request) (any, error) {
	var o Order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder)).Decode(&o); err != nil {
		return nil, fmt.Errorf("%w: %w", errOrder, err)
	}
	if !slices.Contains(Orders, o.Do) {
		return nil, fmt.Errorf("%w: %q is none of %s", errOrder, o.Do, strings.Join(Orders, ", "))
	}
	return p.Player.Do(r.Context(), o)
}
