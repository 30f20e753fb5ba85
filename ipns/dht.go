package ipns

import "context"

// Values is the routing system's record store; see node.Values.
type Values interface {
	PutValue(ctx context.Context, key string, value []byte) error
	GetValue(ctx context.Context, key string) ([]byte, error)
}

// DHT is the Router over v, which counts as one holder.
func DHT(v Values) Router { return dht{v} }

type dht struct{ values Values }

func (d dht) Put(ctx context.Context, name Name, raw []byte, held func(who string)) error {
	err := d.values.PutValue(ctx, name.RoutingKey(), raw)
	if err == nil {
		held("dht")
	}
	return err
}

func (d dht) Get(ctx context.Context, name Name, found func(raw []byte)) error {
	raw, err := d.values.GetValue(ctx, name.RoutingKey())
	if err != nil {
		return err
	}
	found(raw)
	return nil
}

// Remote is a service that keeps other people's records: a delegated routing
// server (node/http), or whatever else takes and gives them by name.
type Remote interface {
	// Record gives a name's record, not verified.
	Record(ctx context.Context, name string) ([]byte, error)
	// PutRecord has the service keep and hand on a record.
	PutRecord(ctx context.Context, name string, raw []byte) error
}

// Delegated is the Router over a Remote, which counts as the holder called
// label once it has taken a record.
func Delegated(label string, r Remote) Router { return delegated{label, r} }

type delegated struct {
	label  string
	remote Remote
}

func (d delegated) Put(ctx context.Context, name Name, raw []byte, held func(who string)) error {
	err := d.remote.PutRecord(ctx, string(name), raw)
	if err == nil {
		held(d.label)
	}
	return err
}

func (d delegated) Get(ctx context.Context, name Name, found func(raw []byte)) error {
	return source(d.remote.Record).Get(ctx, name, found)
}

// Source is the Router that only reads, by one function: an HTTP gateway's,
// say.
func Source(get func(ctx context.Context, name string) ([]byte, error)) Router { return source(get) }

type source func(ctx context.Context, name string) ([]byte, error)

func (source) Put(context.Context, Name, []byte, func(who string)) error { return nil }

func (s source) Get(ctx context.Context, name Name, found func(raw []byte)) error {
	raw, err := s(ctx, string(name))
	if err != nil {
		return err
	}
	found(raw)
	return nil
}
