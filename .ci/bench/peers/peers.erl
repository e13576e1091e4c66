%% The Erlang side of command peers. It reads commands, and writes a line for each:
%%
%%   serve N              starts N servers; the line is the name of this node
%%   use NODE             the servers of that node are called from now on; how many there are
%%   rate CALLERS IDS MS  calls that many of them for some time; the calls and the microseconds
%%
%% It ends when its standard input does.
-module(peers).
-behaviour(gen_server).
-export([main/0, servers/0, init/1, handle_call/3, handle_cast/2]).

main() ->
    process_flag(priority, high), % so that it ends a measurement on time
    try loop() catch _:Why -> io:format(standard_error, "~0p~n", [Why]), halt(1) end.

loop() ->
    case io:get_line("") of
        eof -> halt(0);
        Line -> command(string:lexemes(Line, " \n")), loop()
    end.

command(["serve", N]) ->
    Start = fun(_) -> {ok, Pid} = gen_server:start(?MODULE, [], []), Pid end,
    persistent_term:put(served, list_to_tuple(lists:map(Start, lists:seq(1, list_to_integer(N))))),
    io:format("~s~n", [node()]);
command(["use", Node]) ->
    Servers = erpc:call(list_to_atom(Node), ?MODULE, servers, []),
    persistent_term:put(called, Servers),
    io:format("~b~n", [tuple_size(Servers)]);
command(["rate" | Numbers]) ->
    [Callers, Ids, Ms] = lists:map(fun list_to_integer/1, Numbers),
    Stop = atomics:new(1, []),
    Began = erlang:monotonic_time(microsecond),
    Start = fun(I) -> spawn_monitor(fun() -> caller(I, Callers, Ids, Stop) end) end,
    Started = lists:map(Start, lists:seq(0, Callers - 1)),
    timer:sleep(Ms),
    atomics:put(Stop, 1, 1),
    Calls = [receive {'DOWN', Ref, process, _, {calls, N}} -> N; {'DOWN', Ref, process, _, Why} -> exit(Why) end
        || {_, Ref} <- Started],
    io:format("~b ~b~n", [lists:sum(Calls), erlang:monotonic_time(microsecond) - Began]).

servers() -> persistent_term:get(served).

%% A caller keeps to one id if there are no more than callers. Otherwise it takes all in turn.
caller(I, Callers, Ids, Stop) ->
    Step = if Ids > Callers -> 1; true -> 0 end,
    Message = list_to_binary(["a message of ", integer_to_list(I)]),
    call(Message, I * Ids div Callers, Step, Ids, persistent_term:get(called), Stop, 0).

call(Message, I, Step, Ids, Servers, Stop, N) ->
    Message = gen_server:call(element(I + 1, Servers), Message), % any other answer ends the run
    case atomics:get(Stop, 1) of
        0 -> call(Message, (I + Step) rem Ids, Step, Ids, Servers, Stop, N + 1);
        1 -> exit({calls, N + 1})
    end.

init([]) -> {ok, []}.

handle_call(Message, _, State) -> {reply, Message, State}.

handle_cast(_, State) -> {noreply, State}.
