package repo

import (
	"fmt"
	"time"
	_ "time/tzdata" // a box may have no zones of its own
)

// maxZone bounds a zone's name.
const maxZone = 64

// LoadZone is a zone by its IANA name, such as Europe/Berlin; the machine's
// where that is empty. The machine's own database goes before the one built in.
func LoadZone(name string) (*time.Location, error) {
	if name == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" || len(name) > maxZone {
		return nil, fmt.Errorf("%.*q is no time zone such as Europe/Berlin", maxZone, name)
	}
	return zone, nil
}
