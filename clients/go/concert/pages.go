package concert

import (
	"context"

	"google.golang.org/grpc/codes"
)

// readPages reads a paged list to its end, or its first entries where there is a limit. Lists of more than 100 000 entries without
// a limit fail with ErrLimitReached.
func readPages[E any](ctx context.Context, limit int, page func(ctx context.Context, size uint32, token string) ([]E, string, error)) ([]E, error) {
	size := uint32(pageSizeMax)
	if limit > 0 && limit < pageSizeMax {
		size = uint32(limit)
	}
	var found []E
	token := ""
	for {
		entries, next, err := page(ctx, size, token)
		if err != nil {
			return nil, err
		}
		found = append(found, entries...)
		switch {
		case limit > 0 && len(found) >= limit:
			return found[:limit], nil
		case next == "":
			return found, nil
		case len(found) >= listEntriesMax:
			return nil, refuse(codes.ResourceExhausted, ErrLimitReached,
				"there are more than %d entries: narrow it, or give a limit", listEntriesMax)
		}
		token = next
	}
}
