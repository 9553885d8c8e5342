#!/usr/bin/env escript
%% -*- erlang -*-
%%! +S 1 +P 400000 -kernel logger_level none
%% Erlang's figures for `supervision/examples/cost`: the same lines, `name value unit`. The first argument says
%% what is measured: `process`, a loop that receives, or `gen_server`; the second, one of the parts of `many`, or none.
-module(cost).
-mode(compile).
-export([main/1, init/1, start/0, start_lean/0, handle_call/3, handle_cast/2, handle_info/2, terminate/2, lean_loop/1]).

main([Arg, Part]) -> process_flag(trap_exit, true), many(list_to_atom(Part), list_to_atom(Arg));
main([Arg]) ->
    process_flag(trap_exit, true),
    Kind = list_to_atom(Arg),
    idle(Kind), messages(Kind), fans(Kind),
    Kind =:= gen_server andalso crashes().

%% CPU time of the emulator in ns.
cpu() -> {T, _} = erlang:statistics(runtime), T * 1000000.

report(Name, Value, Unit) -> io:format("~s ~b ~s~n", [Name, round(Value), Unit]).

init({sup, Strategy, Child}) ->
    {ok, {#{strategy => Strategy, intensity => 1000000, period => 1}, [#{id => w, start => Child, shutdown => 5000, restart => case Strategy of simple_one_for_one -> temporary; _ -> permanent end}]}};
init({sup, Children}) -> {ok, {#{}, Children}};
init(worker) -> {ok, 0}.

start() -> gen_server:start_link({local, serving}, ?MODULE, worker, []).
start_lean() -> {ok, spawn_link(?MODULE, lean_loop, [0])}.

handle_call(ask, _, N) -> {reply, N, N}.
handle_cast(boom, _) -> error(boom);
handle_cast({note, N}, S) -> {noreply, (S + N) band 16#ffffffff};
handle_cast({ball, N, To}, S) -> ball(gen_server, N, To), {noreply, S};
handle_cast({run, F}, S) -> F(), {noreply, S}.
handle_info({'DOWN', _, _, _, _}, S) -> count(), {noreply, S};
handle_info(Msg, S) -> handle_cast(Msg, S).
terminate(_, _) -> ok.

lean_loop(S) ->
    receive
        {note, N} -> ?MODULE:lean_loop((S + N) band 16#ffffffff);
        {ask, Ref, From} -> From ! {Ref, S}, ?MODULE:lean_loop(S);
        {ball, N, To} -> ball(process, N, To), ?MODULE:lean_loop(S);
        {run, F} -> F(), ?MODULE:lean_loop(S);
        {'DOWN', _, _, _, _} -> count(), ?MODULE:lean_loop(S)
    end.

child(process) -> {?MODULE, start_lean, []};
child(gen_server) -> {gen_server, start_link, [?MODULE, worker, []]}.

one(Kind) -> {M, F, A} = child(Kind), {ok, P} = apply(M, F, A), P.

cast(process, P, N) -> P ! {note, N};
cast(gen_server, P, N) -> gen_server:cast(P, {note, N}).

call(process, P) -> Ref = monitor(process, P), P ! {ask, Ref, self()}, receive {Ref, S} -> demonitor(Ref, [flush]), S after 5000 -> exit(timeout) end;
call(gen_server, P) -> gen_server:call(P, ask).

idle(Kind) ->
    N = 100000,
    [begin
        {ok, Sup} = supervisor:start_link(?MODULE, {sup, simple_one_for_one, child(Kind)}),
        Before = erlang:memory(processes), C = cpu(),
        [{ok, _} = supervisor:start_child(Sup, []) || _ <- lists:seq(1, N)],
        Round =:= 2 andalso report("spawn", (cpu() - C) / N, "ns"),
        Round =:= 1 andalso report("idle", (erlang:memory(processes) - Before) / N, "bytes"),
        C2 = cpu(), exit(Sup, shutdown), receive {'EXIT', Sup, _} -> ok end,
        Round =:= 2 andalso report("stop", (cpu() - C2) / N, "ns")
    end || Round <- [1, 2]].

messages(Kind) ->
    P = one(Kind), N = 500000,
    C = cpu(), [begin cast(Kind, P, I), erlang:yield() end || I <- lists:seq(1, N)], call(Kind, P),
    report("cast_empty", (cpu() - C) / N, "ns"),
    C1 = cpu(), [begin [cast(Kind, P, I) || I <- lists:seq(1, 1000)], call(Kind, P) end || _ <- lists:seq(1, N div 1000)],
    report("cast_full", (cpu() - C1) / N, "ns"),
    C2 = cpu(), [call(Kind, P) || _ <- lists:seq(1, N)],
    report("call", (cpu() - C2) / N, "ns").

%% One message each time it is its turn, or as fast as it can.
send(Kind, Sink, Flood) ->
    [begin cast(Kind, Sink, I), Flood orelse erlang:yield() end || I <- lists:seq(1, 1000)].

fans(Kind) ->
    Self = self(), Sink = one(Kind),
    [begin
        erlang:garbage_collect(Sink), Before = erlang:memory(total), C = cpu(),
        Senders = [spawn_link(fun() -> send(Kind, Sink, Flood), Self ! done end) || _ <- lists:seq(1, 1000)],
        [receive done -> ok end || _ <- Senders], Memory = erlang:memory(total), drained(Sink),
        report(Name, (cpu() - C) / 1000000, "ns"),
        Flood andalso report("flood_memory", max(0, Memory - Before) / 1024, "KiB")
    end || {Name, Flood} <- [{"fan_in", false}, {"fan_in_flood", true}]],
    Out = [one(Kind) || _ <- lists:seq(1, 1000)], C1 = cpu(),
    [begin [cast(Kind, P, I) || P <- Out], erlang:yield() end || I <- lists:seq(1, 1000)], [drained(P) || P <- Out],
    report("fan_out", (cpu() - C1) / 1000000, "ns").

drained(P) ->
    case process_info(P, message_queue_len) of {_, 0} -> ok; _ -> erlang:yield(), drained(P) end.

crashes() ->
    {ok, Sup} = supervisor:start_link(?MODULE, {sup, one_for_one, {?MODULE, start, []}}),
    N = 20000, C = cpu(), T = erlang:monotonic_time(nanosecond),
    Took = lists:sort([crash() || _ <- lists:seq(1, N)]),
    report("restart_storm", lists:nth(N div 2, Took), "ns"),
    report("restart_cpu", (cpu() - C) / N, "ns"),
    report("restarts", N * 1000000000 / (erlang:monotonic_time(nanosecond) - T), "/s"),
    exit(Sup, shutdown).

crash() ->
    Old = whereis(serving), T = erlang:monotonic_time(nanosecond), gen_server:cast(Old, boom), again(Old),
    erlang:monotonic_time(nanosecond) - T.

again(Old) -> case whereis(serving) of P when is_pid(P), P =/= Old -> ok; _ -> erlang:yield(), again(Old) end.

%% What might cost more where there are many, and what is time and not only CPU.
many(children, Kind) ->
    Spec = fun(N) -> #{id => integer_to_binary(N), start => child(Kind)} end,
    {ok, Sup} = supervisor:start_link(?MODULE, {sup, [Spec(N) || N <- lists:seq(1, 16000)]}),
    More = [Spec(N) || N <- lists:seq(16001, 20000)],
    each("start_child", fun(S) -> {ok, _} = supervisor:start_child(Sup, S) end, More),
    each("terminate_child", fun(#{id := Id}) -> ok = supervisor:terminate_child(Sup, Id) end, More),
    each("delete_child", fun(#{id := Id}) -> ok = supervisor:delete_child(Sup, Id) end, More),
    {Callers, _} = lists:split(3000, More), Self = self(), C = cpu(),
    [spawn(fun() -> {ok, _} = supervisor:start_child(Sup, S), Self ! started end) || S <- Callers],
    [receive started -> ok end || _ <- Callers],
    report("start_at_once", (cpu() - C) / 3000, "ns");
many(timers, Kind) ->
    P = one(Kind), Self = self(), Times = mixed(lists:seq(1, 40000)),
    Set = fun(N) -> erlang:send_after(3600000 + N, self(), {note, N}) end,
    inside(Kind, P, fun() ->
        There = [Set(N) || N <- Times], More = mixed(lists:seq(1, 20000)), C = cpu(), Some = [Set(N) || N <- More],
        report("timer_start", (cpu() - C) / 20000, "ns"),
        each("timer_cancel", fun erlang:cancel_timer/1, mixed(Some)),
        each("timer_cancel_all", fun erlang:cancel_timer/1, mixed(There))
    end),
    C = cpu(),
    inside(Kind, P, fun() ->
        [erlang:send_after(N rem 1000, self(), {note, N}) || N <- Times],
        erlang:send_after(1001, self(), {run, fun() -> Self ! over end})
    end),
    receive over -> report("timer_due", (cpu() - C) / 40000, "ns") end;
many(monitors, Kind) ->
    Watched = one(Kind), N = 100000, persistent_term:put(count, atomics:new(1, [])),
    All = [one(Kind) || _ <- lists:seq(1, N)],
    [tell(Kind, P, {run, fun() -> monitor(process, Watched) end}) || P <- All], [drained(P) || P <- All],
    each("monitor", fun(_) -> demonitor(monitor(process, Watched)) end, lists:seq(1, N)),
    C = cpu(), exit(Watched, shutdown), counted(N),
    report("down", (cpu() - C) / N, "ns");
many(names, Kind) ->
    {ok, _} = pg:start_link(), Names = [list_to_atom("name-" ++ integer_to_list(N)) || N <- lists:seq(1, 16000)],
    [begin P = one(Kind), register(Name, P), pg:join(all, P) end || Name <- Names], Other = one(Kind), Times = lists:seq(1, 100000),
    each("register", fun(_) -> register(other, Other), unregister(other) end, Times),
    each("look_up", fun(Name) -> true = is_pid(whereis(Name)) end, lists:append(lists:duplicate(6, mixed(Names)))),
    %% each takes a millisecond
    each("join", fun(_) -> ok = pg:join(all, Other), ok = pg:leave(all, Other) end, lists:seq(1, 1000));
many(calls, Kind) ->
    P = one(Kind), N = 200000, Now = fun() -> erlang:monotonic_time(nanosecond) end,
    Took = list_to_tuple(lists:sort([begin T = Now(), call(Kind, P), Now() - T end || _ <- lists:seq(1, N)])),
    [report(Name, element(N * Part div 1000 + 1, Took), "ns") || {Name, Part} <- [{"call_p50", 500}, {"call_p99", 990}, {"call_p999", 999}]];
%% with two schedulers: `ERL_ZFLAGS="+S 2"`
many(cores, Kind) ->
    Sink = one(Kind), Now = fun() -> erlang:monotonic_time(nanosecond) end, Self = self(),
    C = cpu(), T = Now(),
    Senders = [spawn_link(fun() -> send(Kind, Sink, true), Self ! done end) || _ <- lists:seq(1, 1000)],
    [receive done -> ok end || _ <- Senders], call(Kind, Sink),
    report("cores_fan_in_rate", 1000000 * 1000000000 / (Now() - T), "/s"),
    report("cores_fan_in", (cpu() - C) / 1000000, "ns"),
    persistent_term:put(count, atomics:new(1, [])), Pairs = [{one(Kind), one(Kind)} || _ <- lists:seq(1, 100)],
    C1 = cpu(), T1 = Now(), [tell(Kind, A, {ball, 19999, B}) || {A, B} <- Pairs], counted(100),
    report("cores_pairs_rate", 100 * 20000 * 1000000000 / (Now() - T1), "/s"),
    report("cores_pairs", (cpu() - C1) / (100 * 20000), "ns").

each(Name, Do, All) -> C = cpu(), lists:foreach(Do, All), report(Name, (cpu() - C) / length(All), "ns").

%% In no order.
mixed(All) -> T = list_to_tuple(All), [element(N * 7919 rem tuple_size(T) + 1, T) || N <- lists:seq(1, tuple_size(T))].

tell(process, P, Msg) -> P ! Msg;
tell(gen_server, P, Msg) -> gen_server:cast(P, Msg).

%% What it does itself.
inside(Kind, P, F) -> Self = self(), tell(Kind, P, {run, fun() -> Self ! {did, F()} end}), receive {did, Result} -> Result end.

ball(_, 0, _) -> count();
ball(Kind, N, To) -> tell(Kind, To, {ball, N - 1, self()}).

count() -> atomics:add(persistent_term:get(count), 1, 1).
counted(N) -> case atomics:get(persistent_term:get(count), 1) of N -> ok; _ -> timer:sleep(1), counted(N) end.
