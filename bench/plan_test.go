package bench

import "testing"

// Publishing in bulk has so many messages under way that there is something to
// put together; what is said by the caller counts.
func TestWindowOfPublishing(t *testing.T) {
	for _, tt := range []struct {
		plan Plan
		want int
	}{
		{Plan{Workload: Publish}, 8},
		{Plan{Workload: Publish, Publish: ByCall, Batch: 50}, 8},
		{Plan{Workload: Publish, Publish: ByMany}, 800},
		{Plan{Workload: Publish, Publish: ByBatch, Batch: 10, Publishers: 4}, 40},
		{Plan{Workload: Publish, Publish: BySocket, Window: 5}, 5},
		{Plan{Workload: Publish, Publish: ByMany, Rate: 100}, 0},
		{Plan{Workload: Publish, Publish: ByMany, Batch: 1000, Publishers: 1000, Channels: 1000}, 100_000},
		{Plan{Workload: Many, Publish: ByMany}, 64},
	} {
		if err := tt.plan.Complete(); err != nil || tt.plan.Window != tt.want {
			t.Errorf("%+v: %v, want a window of %d", tt.plan, err, tt.want)
		}
	}
}
