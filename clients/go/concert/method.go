package concert

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	v1 "concert.dev/clients/go/concertv1"
)

// method is a call of the contract: where it is served as an rpc, and as what it travels in a session's frames. path is empty
// for what exists in frames only, frame nil for what exists as an rpc only.
type method struct {
	name     string
	path     string
	response protoreflect.MessageType
	frame    protoreflect.FieldDescriptor
}

func (m *method) newResponse() proto.Message { return m.response.New().Interface() }

var (
	commandRequest = (&v1.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("request")
	replyOutcome   = (&v1.Reply{}).ProtoReflect().Descriptor().Oneofs().ByName("outcome")
)

// describe finds out of the contract's descriptors what a call by that request is.
func describe(request proto.Message) *method {
	asked := request.ProtoReflect().Descriptor()
	m := &method{name: string(asked.Name()), response: (&v1.Reported{}).ProtoReflect().Type()}
	fields := commandRequest.Fields()
	for i := range fields.Len() {
		if fields.Get(i).Message() == asked {
			m.frame = fields.Get(i)
		}
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("concert.v1", func(file protoreflect.FileDescriptor) bool {
		for s := range file.Services().Len() {
			service := file.Services().Get(s)
			for i := range service.Methods().Len() {
				found := service.Methods().Get(i)
				if found.Input() != asked {
					continue
				}
				m.name = string(found.Name())
				m.path = "/" + string(service.FullName()) + "/" + m.name
				m.response, _ = protoregistry.GlobalTypes.FindMessageByName(found.Output().FullName())
				return false
			}
		}
		return true
	})
	return m
}

var (
	publishMethod            = describe(&v1.PublishRequest{})
	subscribeMethod          = describe(&v1.SubscribeRequest{})
	listEventsMethod         = describe(&v1.ListEventsRequest{})
	getEventMethod           = describe(&v1.GetEventRequest{})
	createSubscriptionMethod = describe(&v1.CreateSubscriptionRequest{})
	listSubscriptionsMethod  = describe(&v1.ListSubscriptionsRequest{})
	acknowledgeMethod        = describe(&v1.AcknowledgeRequest{})
	deleteSubscriptionMethod = describe(&v1.DeleteSubscriptionRequest{})

	listAgentsMethod = describe(&v1.ListAgentsRequest{})
	getAgentMethod   = describe(&v1.GetAgentRequest{})
	drainAgentMethod = describe(&v1.DrainAgentRequest{})

	planRunMethod       = describe(&v1.PlanRunRequest{})
	submitRunMethod     = describe(&v1.SubmitRunRequest{})
	getRunMethod        = describe(&v1.GetRunRequest{})
	listRunsMethod      = describe(&v1.ListRunsRequest{})
	watchRunMethod      = describe(&v1.WatchRunRequest{})
	cancelRunMethod     = describe(&v1.CancelRunRequest{})
	addTasksMethod      = describe(&v1.AddTasksRequest{})
	retryRunMethod      = describe(&v1.RetryRunRequest{})
	getTaskResultMethod = describe(&v1.GetTaskResultRequest{})

	acquireMethod   = describe(&v1.AcquireRequest{})
	releaseMethod   = describe(&v1.ReleaseRequest{})
	keepAliveMethod = describe(&v1.KeepAliveRequest{})
	listLocksMethod = describe(&v1.ListLocksRequest{})
	getLockMethod   = describe(&v1.GetLockRequest{})

	updateStateMethod      = describe(&v1.UpdateStateRequest{})
	deleteStateMethod      = describe(&v1.DeleteStateRequest{})
	getStateMethod         = describe(&v1.GetStateRequest{})
	listStateHistoryMethod = describe(&v1.ListStateHistoryRequest{})
	watchStateMethod       = describe(&v1.WatchStateRequest{})

	getServerInfoMethod  = describe(&v1.GetServerInfoRequest{})
	getHealthMethod      = describe(&v1.GetHealthRequest{})
	getMetricsMethod     = describe(&v1.GetMetricsRequest{})
	explainMethod        = describe(&v1.ExplainRequest{})
	listNamespacesMethod = describe(&v1.ListNamespacesRequest{})

	taskStartedMethod   = describe(&v1.TaskStarted{})
	taskProgressMethod  = describe(&v1.TaskProgress{})
	taskCompletedMethod = describe(&v1.TaskCompleted{})
	taskFailedMethod    = describe(&v1.TaskFailed{})
	updateAgentMethod   = describe(&v1.UpdateAgent{})
	goodbyeMethod       = describe(&v1.Goodbye{})
)

// setIfEmpty fills a text field of a message, if it has that field and says nothing there.
func setIfEmpty(message proto.Message, field protoreflect.Name, text func() string) {
	reflected := message.ProtoReflect()
	found := reflected.Descriptor().Fields().ByName(field)
	if found != nil && found.Kind() == protoreflect.StringKind && reflected.Get(found).String() == "" {
		reflected.Set(found, protoreflect.ValueOfString(text()))
	}
}
