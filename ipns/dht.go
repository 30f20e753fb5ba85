package ipns

import "context"

// Values is the routing system's record store; see node.Values.
type Values interface {
	PutValue(ctx context.Context, key string, value []byte) error
	GetValue(ctx context.Context, key string) ([]byte, error)
}

// DHT is the Router over v.
func DHT(v Values) Router { return dht{v} }

type dht struct{ values Values }

// Put counts the whole routing system as one holder.
func (d dht) Put(ctx context.Context, name Name, raw []byte) (int, error) {
	if err := d.values.PutValue(ctx, name.RoutingKey(), raw); err != nil {
		return 0, err
	}
	return 1, nil
}

func (d dht) Get(ctx context.Context, name Name, found func(raw []byte)) error {
	raw, err := d.values.GetValue(ctx, name.RoutingKey())
	if err != nil {
		return err
	}
	found(raw)
	return nil
}

// Source is the Router that only reads, by one function: an HTTP gateway's,
// say.
func Source(get func(ctx context.Context, name string) ([]byte, error)) Router { return source(get) }

type source func(ctx context.Context, name string) ([]byte, error)

func (source) Put(context.Context, Name, []byte) (int, error) { return 0, nil }

func (s source) Get(ctx context.Context, name Name, found func(raw []byte)) error {
	raw, err := s(ctx, string(name))
	if err != nil {
		return err
	}
	found(raw)
	return nil
}
