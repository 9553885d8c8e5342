#!/usr/bin/env escript
%% What a gen_server of OTP handles, and in which order, while others send to it, its timers are due, processes that it
%% monitors or is linked to say something and end, and its parent stops it. order.escript FIRST COUNT makes so many scenarios
%% from seeds, runs all of them at once, three times, and prints those that came out the same: SCENARIO => TRACE.
%%
%% A scenario is trap|plain and its actions, AT WHAT ..., in units that last a millisecond. Actions come at full hundreds; what is busy
%% or waits takes so long that nothing else happens within 2 ms.
%%! -kernel logger_level none
-mode(compile).
-behaviour(gen_server).
-export([init/1, handle_info/2, handle_call/3, handle_cast/2, terminate/2]).

ms(Units) -> Units.

%% scenarios

one(Seed) ->
    rand:seed(exsss, Seed),
    Trap = pick([trap, trap, plain]),
    Count = 3 + rand:uniform(8),
    Ats = lists:sublist(lists:sort([{rand:uniform(), At} || At <- lists:seq(1, 16)]), Count),
    {Acts, _} = lists:mapfoldl(fun act/2, [h0, h1, l0, l1], lists:sort([At * 100 || {_, At} <- Ats])),
    {Trap, name(lists:flatten(Acts))}.

pick(List) -> lists:nth(rand:uniform(length(List)), List).

act(At, Helpers) ->
    What = pick([note, note, note, busy, busy, busy, timer, timer, timer, idle, cancel, last, last, last, stop]),
    case {What, Helpers} of
        {busy, _} -> {{At, busy, rand:uniform(4) * 100 + 30}, Helpers};
        {timer, _} -> {{At, timer, rand:uniform(4) * 100 + 15 + 2 * (At div 100 rem 3)}, Helpers};
        {idle, _} -> {{At, idle, rand:uniform(3) * 100 + 12}, Helpers};
        {stop, _} -> {{At, stop, rand:uniform(4) * 100 + 17}, Helpers};
        {last, [_ | _]} ->
            Helper = pick(Helpers),
            {{At, last, Helper, pick([normal, normal, boom])}, Helpers -- [Helper]};
        {cancel, _} -> {{At, cancel}, Helpers};
        _ -> {{At, note}, Helpers}
    end.

%% nothing after a stop
name(Acts) ->
    {Before, Rest} = lists:splitwith(fun(Act) -> element(2, Act) =/= stop end, Acts),
    Before ++ lists:sublist(Rest, 1).

text({Trap, Acts}) ->
    lists:join(" | ", [atom_to_list(Trap) | [lists:join(" ", [io_lib:format("~w", [X]) || X <- tuple_to_list(Act)]) || Act <- Acts]]).

%% one run: who runs it is the parent

run({Trap, Acts}) ->
    process_flag(trap_exit, true),
    Me = self(),
    Helpers = [{Name, spawn(fun helper/0)} || Name <- [h0, h1, l0, l1]],
    {ok, Pid} = gen_server:start_link(?MODULE, {Trap, Me, Helpers}, []),
    Began = erlang:monotonic_time(millisecond),
    lists:foreach(fun(Act) ->
        Wait = Began + ms(element(1, Act)) - erlang:monotonic_time(millisecond),
        timer:sleep(max(0, Wait)),
        do(Act, Pid, Helpers)
    end, Acts),
    timer:sleep(ms(1500)),
    exit(Pid, kill),
    trace([]).

do({At, note}, Pid, _) -> Pid ! {note, At};
do({At, busy, For}, Pid, _) -> Pid ! {busy, At, For};
do({At, timer, After}, Pid, _) -> Pid ! {timer, At, After};
do({At, idle, After}, Pid, _) -> Pid ! {idle, At, After};
do({_, cancel}, Pid, _) -> Pid ! cancel;
do({At, last, Name, Reason}, Pid, Helpers) -> proplists:get_value(Name, Helpers) ! {last, Pid, At, Reason};
do({_, stop, Within}, Pid, _) ->
    exit(Pid, shutdown),
    receive {'EXIT', Pid, Reason} -> self() ! {log, ended(Reason)}
    after ms(Within) ->
        exit(Pid, kill),
        receive {'EXIT', Pid, Reason} -> self() ! {log, ended(Reason)} end
    end.

trace(Log) ->
    receive
        {log, What} -> trace([What | Log]);
        {'EXIT', _, killed} -> trace(Log);
        {'EXIT', _, Reason} -> trace([ended(Reason) | Log])
    after 0 -> lists:join(" ", [io_lib:format("~s", [What]) || What <- lists:reverse(Log)])
    end.

ended(Reason) -> io_lib:format("ended:~w", [Reason]).

helper() -> receive {last, Pid, At, Reason} -> Pid ! {note, At}, exit(Reason) end.

%% the server

init({Trap, To, Helpers}) ->
    process_flag(trap_exit, Trap =:= trap),
    [case Name of
        N when N =:= h0; N =:= h1 -> monitor(process, Pid);
        _ -> link(Pid)
    end || {Name, Pid} <- Helpers],
    {ok, #{to => To, names => [{Pid, Name} || {Name, Pid} <- Helpers], timer => none, idle => none}}.

say(What, #{to := To}) -> To ! {log, What}.

handle_info({note, At}, State) -> say(io_lib:format("~w", [At]), State), {noreply, State};
handle_info({busy, At, For}, State) -> say(io_lib:format("busy~w", [At]), State), timer:sleep(ms(For)), {noreply, State};
handle_info({timer, At, After}, State) ->
    {noreply, State#{timer := {erlang:send_after(ms(After), self(), {due, At}), At}}};
handle_info({due, At}, State) -> say(io_lib:format("due~w", [At]), State), {noreply, State};
%% with its message, if that is there: Cx::cancel does so too
handle_info(cancel, State = #{timer := Timer}) ->
    Timer =/= none andalso erlang:cancel_timer(element(1, Timer)) =:= false andalso
        receive {due, At} when At =:= element(2, Timer) -> ok after 0 -> ok end,
    {noreply, State#{timer := none}};
handle_info({idle, At, After}, State) -> {noreply, State#{idle := At}, ms(After)};
handle_info(timeout, State = #{idle := At}) -> say(io_lib:format("idle~w", [At]), State), {noreply, State};
handle_info({'DOWN', _, process, Pid, Why}, State = #{names := Names}) ->
    say(io_lib:format("down:~w:~w", [proplists:get_value(Pid, Names), Why]), State), {noreply, State};
handle_info({'EXIT', Pid, Why}, State = #{names := Names}) ->
    say(io_lib:format("exit:~w:~w", [proplists:get_value(Pid, Names), Why]), State), {noreply, State}.

handle_call(_, _, State) -> {noreply, State}.
handle_cast(_, State) -> {noreply, State}.
terminate(_, _) -> ok.

%% all of them

all(Scenarios) ->
    Me = self(),
    Pids = [spawn(fun() -> Me ! {self(), run(Scenario)} end) || Scenario <- Scenarios],
    [receive {Pid, Trace} -> lists:flatten(Trace) end || Pid <- Pids].

main([First, Count]) ->
    From = list_to_integer(First),
    Scenarios = [one(Seed) || Seed <- lists:seq(From, From + list_to_integer(Count) - 1)],
    [A, B, C] = [all(Scenarios) || _ <- [1, 2, 3]],
    [io:format("~s => ~s~n", [text(S), X]) || {S, X, Y, Z} <- lists:zipwith(fun(S, {X, Y, Z}) -> {S, X, Y, Z} end, Scenarios, lists:zip3(A, B, C)), X =:= Y, Y =:= Z],
    ok.
