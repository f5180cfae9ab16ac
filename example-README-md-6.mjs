import { openSync } from 'torchmap'

const checkpoint = openSync('test/fixtures/torch-2.13/lightning.pt')
console.log([...checkpoint.stateDict().keys()])          // [ 'model.weight', 'model.bias' ]
console.log([...checkpoint.stateDict({ from: 'optimizer_states.0' }).keys()])
