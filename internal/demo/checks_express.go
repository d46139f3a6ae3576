package demo

import (
	"context"
	"errors"
	"fmt"
)

// expressLane asks the director for its express lane. On machines that cannot have
// it, workers carry everything, and that is well, too.
func expressLane(ctx context.Context, b *bed) (saw string, err error) {
	lane, err := b.director.lane(ctx)
	if err != nil {
		return "", err
	}
	if !lane.Open {
		return "there is none here: " + lane.Why, nil
	}
	status, err := b.director.control.Status(ctx)
	if err != nil {
		return "", err
	}
	express, forwarded := status.Steering["express"], status.Frames["forwarded"]
	if express == 0 {
		err = errors.New("no packet took it, though it is open")
	}
	return fmt.Sprintf("%d of %d packets were sent on by the XDP program itself; openings and ends of connections need a worker", express, forwarded), err
}
