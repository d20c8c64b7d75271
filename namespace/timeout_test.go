package namespace

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The context of a function ends, and does not count as what its author has said
// about answers.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New("/x", Options{Timeout: 7 * time.Second, AckTimeout: 3 * time.Second})
		ends := func(ctx context.Context) time.Duration {
			end, _ := ctx.Deadline()
			return time.Until(end)
		}
		ctx, cancel := n.timed(t.Context())
		defer cancel()
		if got := ends(ctx); got != 7*time.Second {
			t.Errorf("it ends in %v", got)
		}
		for _, tt := range []struct {
			ctx  context.Context
			want time.Duration
		}{{t.Context(), 3 * time.Second}, {ctx, 3 * time.Second}} {
			asking, cancel := n.patient(tt.ctx)
			defer cancel()
			if got := ends(asking); got != tt.want {
				t.Errorf("answers may take %v, want %v", got, tt.want)
			}
		}
		mine, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		asking, cancel := n.patient(mine)
		defer cancel()
		if got := ends(asking); got != 5*time.Second {
			t.Errorf("answers may take %v, want what was said", got)
		}
	})
}
